import { AsyncLocalStorage } from 'node:async_hooks'
import type { Session } from '../../database/database.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import type { AnyTopic } from '../../topic.ts'
import type { Incarnation } from './world.ts'

/** What may go wrong with a commit. Every one of them has been seen on a real engine. */
export const commitFaults = [
  'killed before COMMIT',
  'killed after COMMIT',
  'refused, busy',
  'COMMIT took effect, answer lost',
  'COMMIT lost, answer lost',
  'frozen before it',
  'frozen inside its transaction',
] as const

/** A file of this machine is read at once. A server answers in a step of its own, and what it says may be no longer so by then. */
export const readingWays = ['answered at once', 'answered later'] as const
export type ReadingWay = (typeof readingWays)[number]

/** Commits that move messages. The others keep house: leases, membership, declarations. */
export const ofMessages = /^(publish|consume|transaction|relay|acknowledge|release delayed|schedule)/

/**
 * What has been done in an open transaction: told to the world when that commits, and forgotten when it does not. `of` is the
 * transaction: the name of its process where that has no other, else what `openTransaction` says.
 */
export interface TransactionLog {
  begun(of: unknown): void
  committed(of: unknown): void
  rolledBack(of: unknown): void
  /** How much it has done: for `undoTo`, when a savepoint is undone. */
  mark(of: unknown): number
  undoTo(of: unknown, mark: number): void
  /** Whoever asked for this commit will not learn what became of it. */
  unanswered(self: Incarnation): void
}

/** Whose code runs, where a process may have several transactions open. */
export const openTransaction = new AsyncLocalStorage<unknown>()

/** A schedule with eight partitions of every topic would be mostly leases. Topics are reduced once for all sessions of a process. */
export function fewerPartitions(
  { topics }: Pick<Session<unknown>, 'topics'>,
  most: number,
  reduced = new Map<AnyTopic, AnyTopic>(),
): void {
  const declare = topics.declare.bind(topics)
  const declareSmall: typeof declare = (topic) => {
    let small = reduced.get(topic)
    if (small === undefined) {
      small = { ...topic, settings: { ...topic.settings, partitions: Math.min(most, topic.settings.partitions ?? most) } }
      reduced.set(topic, small)
    }
    return declare(small)
  }
  topics.declare = declareSmall
}

/** What was done inside a savepoint that is undone has not been done. */
export function undoneWithSavepoints(session: Pick<Session<unknown>, 'savepoint'>, log: TransactionLog, of: unknown): void {
  const savepoint = session.savepoint.bind(session)
  const undoable = <R>(work: () => Awaitable<R>): Awaitable<R> => {
    const mark = log.mark(of)
    const undo = (error: unknown): never => {
      log.undoTo(of, mark)
      throw error
    }
    try {
      const result = savepoint(work)
      return isThenable(result) ? result.then((value) => value as R, undo) : result
    } catch (error) {
      return undo(error)
    }
  }
  session.savepoint = undoable
}

/** Whoever is dead hears nothing any more. */
export function never<R>(): Promise<R> {
  return new Promise<R>(() => undefined)
}
