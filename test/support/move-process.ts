/** A process of its own that moves a file, or activates the move, and kills itself at a named point. */
import { Pool } from 'pg'
import { moveTargetOn } from '../../src/database/postgres/move-target.ts'
import { SqliteMoveSource } from '../../src/database/sqlite/move-source.ts'
import { activate, move } from '../../src/move/move.ts'
import type { Halt } from './torture-halt.ts'
import { runtimeThatHalts, say } from './torture-halt.ts'

export interface MoveProcessConfig {
  readonly file: string
  readonly url: string
  readonly what: 'move' | 'activate'
  readonly halt?: Halt | undefined
}

export const moveProcess = new URL(import.meta.url).pathname

async function main({ file, url, what, halt }: MoveProcessConfig): Promise<void> {
  const runtime = runtimeThatHalts(halt)
  const pool = new Pool({ connectionString: url })
  const source = await SqliteMoveSource.open(file, runtime)
  const ends = { source, target: moveTargetOn(pool as never, { schema: 'onefold', runtime }), runtime }
  const limits = { rows: 9, bytes: 4_000 }
  const { state } = what === 'move' ? await move(ends, { limits }) : await activate(ends)
  say(state)
  source.close()
  await pool.end()
}

const [, program, config] = process.argv
if (program === moveProcess && config !== undefined) await main(JSON.parse(config) as MoveProcessConfig)
