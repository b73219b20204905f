import { createRequire } from 'node:module'
import type { BetterSqlite3 } from '../../src/database/sqlite/index.ts'

/** The library has no types of its own; taken by the shape Onefold takes it by. */
export const BetterSqlite = createRequire(import.meta.url)('better-sqlite3') as new (file: string) => BetterSqlite3
