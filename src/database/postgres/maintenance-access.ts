import type { PostgresStores } from './session.ts'

/** What housekeeping needs of a transaction, or of a reader: its statements. */
export type Access = Pick<PostgresStores, 'context'>

/** Runs `work` in a transaction, and again when it met another. */
export type Write = <R>(work: (session: Access) => Promise<R>) => Promise<R>
