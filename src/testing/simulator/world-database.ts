import type { AttentionKind } from '../../attention/attention-store.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import type { Operation } from '../history.ts'
import type { ReadingWay, TransactionLog } from './commit-faults.ts'
import type { Invariant } from './subject.ts'
import type { Incarnation, World } from './world.ts'

/** A message that is there for consumers. */
export interface Published {
  readonly topic: string
  readonly id: string
  /** JSON. */
  readonly data: string
  /** Who waits behind whom: null and undefined for nobody. */
  readonly key?: string | null
}

/** What one more life of a process needs to have a database port. */
export interface ProcessDatabaseOptions {
  readonly world: World
  readonly self: Incarnation
  readonly log: TransactionLog
  /** Also commits and reads that only keep house may fail. */
  readonly everyCommit: boolean
  /** Undefined: they never fail. */
  readonly reads: ReadingWay | undefined
  /** Partitions of a topic, at most. */
  readonly maxPartitions: number
}

/** What is still to be done, as far as the database tells. */
export interface StillToDo {
  /** Messages a group has not come to, or is to attempt again, or that are to be delivered later: in words, and '' for none. */
  whatIsLeft(): string
  /** The same without what is to be delivered later. */
  whatIsLeftNow(): string
  /** Something waits that a person can see to: calls of which nobody knows, or what the world itself has brought about. */
  readonly needsPerson: boolean
  /** A message that stands open in attention more than once: a person would have to act on it again and again. */
  openTwice(): string | undefined
}

/** Of the texts below: `{p}` stands before the name of each table of Onefold's, `?` for a parameter. */
export const questions = {
  waiting: `select s.topic, s.grp as "group", a.kind, a.data from {p}attention a join {p}subscription s using (subscription)
    where a.state = 'open'`,
  attention: `select s.topic, s.grp, a.id, a.kind,
      case when a.error_message like '% was received before with other data.' then 1 else 0 end as reused
    from {p}attention a join {p}subscription s using (subscription) where a.state = 'open' order by a.attention`,
  twice: `select min(s.topic) as topic, min(s.grp) as grp, min(a.id) as id, count(*) as times
    from {p}attention a join {p}subscription s using (subscription)
    where a.state = 'open' group by a.parked having count(*) > 1 limit 1`,
  forPerson: `select 1 from {p}attention where state = 'open' and (kind in ('unknown-outcome', 'late-message') or kind = 'dead-letter' and
    (error_message like '%(simulated)%' or error_message like 'the process ended % times while message % was running alone.')) limit 1`,
  waitsForGood: `select 1 from {p}attention join {p}subscription s using (subscription)
    where s.topic = ? and id = ? and state = 'open' and kind = 'dead-letter' and error_message not like '%(simulated)%'
      and error_message not like 'the process ended % times while message % was running alone.'`,
  held: `with mine as (select owner from {p}owner where pid = ?)
    select 'the lease ' || name as what from {p}lease where owner in (select owner from mine)
    union all select 'its place in ' || membership from {p}member where owner in (select owner from mine)
    union all select 'its entry as an owner' from mine`,
  behind: `select s.topic, s.grp as "group", p.id from {p}parked p join {p}subscription s using (subscription)
    where p.state = 'behind'`,
  parked: `select s.topic, s.grp, p.id from {p}parked p join {p}subscription s using (subscription)`,
  unclean: 'select name from {p}lease where crashes > 0',
  facts: 'select fact from {p}simulated_fact order by fact',
} as const

/** The one database that all simulated processes share, and what can be said of what is committed in it. */
export abstract class WorldDatabase implements StillToDo {
  /** For people, with its version where that is known. */
  abstract readonly engine: string
  /** Whoever prepares it takes so long before a schedule, on average; undefined: nothing worth telling. */
  abstract readonly resetMs: number | undefined

  /** As it was before anything happened: Onefold's tables, and the user's as `setup` leaves them. */
  abstract reset(): Awaitable<void>
  /** Several transactions can be open at a time. */
  abstract readonly together: boolean
  /** A schedule in this world begins. */
  begins(_world: World): void {}
  /** A query of ours, of what is committed. Numbers may come as text. */
  abstract rows<R>(sql: string, ...params: readonly (string | number)[]): Awaitable<R[]>
  /** While the world runs: in turn with what its processes do. */
  protected abstract ask<R>(sql: string, ...params: readonly (string | number)[]): Awaitable<R[]>
  /** The user's tables, as one text a row, in an order of their own. */
  abstract userRows(ignored: ReadonlySet<string>): Awaitable<Map<string, readonly string[]>>
  /** What stands in the log, where the database is the broker. */
  abstract published(): Awaitable<Published[]>
  /** What an invariant of the user's says of what is committed; undefined when it holds. */
  abstract judge(invariant: Invariant): Awaitable<string | undefined>
  /** Writes a row of a producer's own, once. */
  abstract note(tx: unknown, fact: string): Awaitable<void>
  abstract close(): Awaitable<void>

  abstract whatIsLeft(): string
  abstract whatIsLeftNow(): string
  abstract get needsPerson(): boolean
  abstract openTwice(): string | undefined

  /** What is left is about to be asked for. Undefined: it can be. */
  look(): Promise<void> | undefined {
    return undefined
  }

  /** As `whatIsLeftNow`, for whoever asks while the world runs. */
  leftNow(): Awaitable<string> {
    return this.whatIsLeftNow()
  }

  /** A message that some group does not let go: its identity is known for as long as it waits for a person. */
  abstract keepsWaiting(topic: string, id: string): Awaitable<boolean>

  /** What this process has not given back, in words; '' for nothing. */
  heldBy(pid: number): Awaitable<string> {
    const inWords = (rows: readonly { what: string }[]): string => rows.map(({ what }) => what).join(', ')
    const rows = this.ask<{ what: string }>(questions.held, pid)
    return isThenable(rows) ? rows.then(inWords) : inWords(rows)
  }

  /** A lease whose last owners are said to have ended uncleanly. */
  async uncleanEnds(): Promise<string | undefined> {
    return (await this.rows<{ name: string }>(questions.unclean))[0]?.name
  }

  /** Who waits behind another message of its key. */
  async behind(): Promise<{ topic: string; group: string; id: string }[]> {
    return await this.rows(questions.behind)
  }

  /** What waits for a person. */
  async attention(): Promise<{ topic: string; group: string; kind: string; data: string }[]> {
    return await this.rows(questions.waiting)
  }

  /** What was published from inside, what came to wait for a person, and the end, for the checkers. */
  async addTo(history: Operation[], published: readonly Published[]): Promise<void> {
    const known = new Set(history.flatMap((one) => (one.op === 'publish' ? [`${one.topic} ${one.identity}`] : [])))
    for (const { topic, id, key, data } of published) {
      if (known.has(`${topic} ${id}`)) continue
      history.push({ op: 'publish', topic, identity: id, outcome: 'happened', ...(key == null ? {} : { key }), body: data })
    }
    for (const { fact } of await this.rows<{ fact: string }>(questions.facts)) history.push({ op: 'fact', fact })
    const rows = await this.rows<{ topic: string; grp: string; id: string; kind: AttentionKind; reused: number }>(
      questions.attention,
    )
    // Another body under an identity that is taken waits for a person as well; the message of that identity does not.
    for (const { topic, grp, id, kind, reused } of rows)
      if (Number(reused) === 0) history.push({ op: 'attention', topic, group: grp, identity: id, kind })
    const waiting = await this.rows<{ topic: string; grp: string; id: string }>(questions.parked)
    history.push({
      op: 'end',
      quiet: true,
      waiting: waiting.map(({ topic, grp, id }) => ({ topic, group: grp, identity: id })),
    })
  }
}

/** Rows as texts, to compare them. */
export const told = (rows: readonly { what: string; messages: number | string }[]): string =>
  rows.map(({ what, messages }) => `${what}: ${messages}`).join(', ')

export const openTwiceText = (row: { topic: string; grp: string; id: string; times: number } | undefined): string | undefined =>
  row === undefined
    ? undefined
    : `${row.id} of topic ${row.topic} stands open in attention ${row.times} times for group ${row.grp}.`

export function saidBy(said: unknown): string | undefined {
  return said === false ? 'It does not hold.' : typeof said === 'string' ? said : undefined
}
