import type { Awaitable } from '../message.ts'

/**
 * What is written in the source while it is, or after it was, moved. 'sealed': nothing but reading works there. 'final': the
 * target has been activated, or is about to be: there is no way back. 'given-up': what was copied is being thrown away.
 */
export interface SourceMark {
  /** Of this move, and no other. */
  readonly id: string
  /** Where to, without a password. */
  readonly to: string
  readonly state: 'sealed' | 'final' | 'given-up'
  readonly atMs: number
}

/** What is written in the target: it refuses to work until it is 'activated'. */
export interface TargetMark {
  readonly id: string
  /** The source, and its incarnation. */
  readonly from: string
  readonly incarnation: string
  readonly state: 'copying' | 'copied' | 'activated'
}

/**
 * How values of a column look on the way: as text, numbers in decimal, bytes in hexadecimal, 'true' and 'false'. 'prose' is what
 * errors and people said: characters that a target cannot store are replaced in it.
 */
export type ColumnType = 'integer' | 'text' | 'prose' | 'boolean' | 'bytes'

export interface MovedTable {
  readonly name: string
  readonly columns: readonly (readonly [name: string, type: ColumnType])[]
}

/** In the order of `MovedTable.columns`. */
export type MovedRow = readonly (string | null)[]

export interface MovedPage {
  readonly rows: readonly MovedRow[]
  /** Where the next page begins; means something to the source only. */
  readonly after: string | undefined
  readonly last: boolean
}

export interface PageLimits {
  readonly rows: number
  readonly bytes: number
}

/** How far the copy of a table has come: committed with the rows. */
export interface CopyProgress {
  readonly rows: number
  readonly after: string | undefined
  readonly done: boolean
}

/** A database that is moved away. */
export interface MoveSource {
  readonly where: string
  look(): Awaitable<{ readonly incarnation: string; readonly mark: SourceMark | undefined }>
  /**
   * Marks it as moved and raises the epoch of every lease, in one commit. From then on every write of any process is refused.
   * Answers the mark that is there: of an earlier move, if it was sealed already.
   */
  seal(mark: Pick<SourceMark, 'id' | 'to'>): Promise<SourceMark>
  /** In one commit, if the mark is of this move and in that state; undefined removes it. False: it is not. */
  change(id: string, from: SourceMark['state'], to: SourceMark['state'] | undefined): Promise<boolean>
  /** Nothing changes in a sealed source: pages read at different times fit together. */
  page(table: MovedTable, after: string | undefined, limits: PageLimits): Awaitable<MovedPage>
  /** The highest number ever given, of tables that give no number twice. */
  numbersGiven(): Awaitable<ReadonlyMap<string, bigint>>
  close(): Awaitable<void>
}

/** A database that is moved to. */
export interface MoveTarget {
  readonly where: string
  mark(): Promise<TargetMark | undefined>
  /**
   * Makes the tables and reserves them for this move: nobody else can write to them before it is activated. Answers the mark that
   * is there: of another move, if there is one.
   *
   * @throws OnefoldError where the server is unsuitable, or there are messages already.
   */
  reserve(mark: Omit<TargetMark, 'state'>): Promise<TargetMark>
  /** Asks for the next page of a table and commits its rows together with the progress. Of two that do it at once, one waits. */
  append(id: string, table: MovedTable, next: (progress: CopyProgress) => Awaitable<MovedPage>): Promise<CopyProgress>
  /** All rows are there: numbers go on beyond those that were ever given. */
  finish(id: string, numbers: ReadonlyMap<string, bigint>): Promise<void>
  /** What a table holds, in no particular order. */
  rows(table: MovedTable): AsyncIterable<readonly MovedRow[]>
  activate(id: string): Promise<void>
  /** Removes what was copied, and the reservation. @throws OnefoldError when it has been activated. */
  throwAway(id: string): Promise<void>
}

const message = [
  ['source', 'text'],
  ['id', 'text'],
  ['sequence', 'integer'],
  ['key', 'text'],
  ['type', 'text'],
  ['time_ms', 'integer'],
  ['headers', 'text'],
  ['data', 'text'],
] as const satisfies MovedTable['columns']

const error = [
  ['error_name', 'prose'],
  ['error_message', 'prose'],
  ['error_stack', 'prose'],
] as const satisfies MovedTable['columns']

type ShortColumns = Readonly<Record<string, ColumnType>>

const table = (name: string, columns: ShortColumns, ...more: MovedTable['columns'][]): MovedTable => ({
  name,
  columns: [...Object.entries(columns), ...more.flat()],
})

/** All that a database holds, in an order in which no row refers to one of a later table. Owners are not moved: they are processes. */
export const movedTables: readonly MovedTable[] = [
  table('meta', { name: 'text', value: 'text' }),
  table('topic', {
    topic: 'integer',
    name: 'text',
    partitions: 'integer',
    keyed: 'boolean',
    id_reuse: 'text',
    retention_ms: 'integer',
    duplicates: 'integer',
  }),
  table('partition', { partition: 'integer', topic: 'integer', number: 'integer', head: 'integer', tail: 'integer' }),
  table('log', { partition: 'integer', offset: 'integer' }, message),
  table('dedup_window', { dedup: 'integer', topic: 'text', grp: 'text', current: 'integer', forgotten_ms: 'integer' }),
  table('generation', {
    generation: 'integer',
    dedup: 'integer',
    opened_ms: 'integer',
    sealed_ms: 'integer',
    running_ms: 'integer',
    newest_ms: 'integer',
    rows: 'integer',
  }),
  table('identity', {
    dedup: 'integer',
    source: 'text',
    key: 'bytes',
    body: 'bytes',
    generation: 'integer',
    time_ms: 'integer',
  }),
  table('sequence', { dedup: 'integer', source: 'text', ranges: 'text' }),
  table('sequence_body', { dedup: 'integer', source: 'text', sequence: 'integer', body: 'bytes' }),
  table('subscription', {
    subscription: 'integer',
    topic: 'text',
    grp: 'text',
    semantics: 'text',
    start_from: 'text',
    fenced: 'integer',
    created_ms: 'integer',
  }),
  table('checkpoint', {
    subscription: 'integer',
    partition: 'text',
    offset: 'integer',
    applied: 'integer',
    suppressed: 'integer',
  }),
  table('lease', { name: 'text', epoch: 'integer', crashes: 'integer' }),
  table(
    'parked',
    {
      parked: 'integer',
      subscription: 'integer',
      partition: 'text',
      lane: 'text',
      state: 'text',
      due_ms: 'integer',
      attempts: 'integer',
      crashes: 'integer',
      parked_ms: 'integer',
    },
    message,
  ),
  table('attempt', { parked: 'integer', turn: 'integer', attempt: 'integer', at_ms: 'integer' }, error),
  table('start_mark', { subscription: 'integer', partition: 'text', identity: 'text', starts: 'integer', epoch: 'integer' }),
  table(
    'attention',
    {
      attention: 'integer',
      parked: 'integer',
      subscription: 'integer',
      partition: 'text',
      kind: 'text',
      state: 'text',
      fingerprint: 'text',
      attempts: 'integer',
      crashes: 'integer',
      since_ms: 'integer',
      by: 'prose',
      reason: 'prose',
      closed_ms: 'integer',
    },
    error,
    message,
  ),
  table('audit', {
    audit: 'integer',
    attention: 'integer',
    action: 'text',
    by: 'prose',
    reason: 'prose',
    at_ms: 'integer',
    details: 'prose',
  }),
  table('revision', {
    revision: 'integer',
    attention: 'integer',
    subscription: 'integer',
    source: 'text',
    id: 'text',
    by: 'prose',
    reason: 'prose',
    at_ms: 'integer',
    before: 'text',
    after: 'text',
  }),
  table('call', {
    subscription: 'integer',
    identity: 'text',
    name: 'text',
    round: 'integer',
    state: 'text',
    rule: 'text',
    token: 'text',
    requests: 'integer',
    lease: 'text',
    epoch: 'integer',
    pid: 'integer',
    host: 'text',
    started_at: 'text',
    intent_ms: 'integer',
    settled_ms: 'integer',
    settled_by: 'prose',
    result: 'text',
    error_name: 'prose',
    error_code: 'prose',
    error_message: 'prose',
    generation: 'integer',
    key: 'text',
  }),
  // What has a number keeps it; the rest is numbered in the target, in series of its own.
  table(
    'outbox',
    {
      outbox: 'integer',
      topic: 'text',
      cause: 'text',
      appended_ms: 'integer',
      deliver_at_ms: 'integer',
      partition: 'integer',
      ordered: 'text',
      series: 'text',
      number: 'integer',
      refused_ms: 'integer',
      refusal: 'prose',
    },
    message,
  ),
  table('schedule', { schedule: 'integer', due_ms: 'integer', topic: 'integer' }, message),
  table('cron', {
    topic: 'text',
    name: 'text',
    pattern: 'text',
    time_zone: 'text',
    last_ms: 'integer',
    fired: 'integer',
    missed: 'integer',
  }),
  table('erasure', {
    erasure: 'integer',
    topic: 'text',
    key_salt: 'bytes',
    key_digest: 'bytes',
    by: 'prose',
    reason: 'prose',
    at_ms: 'integer',
    finished_ms: 'integer',
    rows: 'integer',
  }),
]

/** Of `meta`, what belongs to the messages and not to the file. */
export const movedSettings: readonly string[] = ['running_ms', 'window_ms', 'window_max_ids']
