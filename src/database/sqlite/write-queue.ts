import { AsyncLocalStorage } from 'node:async_hooks'
import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import type { Runtime } from '../../runtime.ts'
import type { WriteOptions } from '../database.ts'
import type { SqliteConnection } from './connection.ts'
import { commitUnknown, explainError, isBusy, isConstraint, transactionEnded } from './errors.ts'

/** A shared transaction takes no further work after this long: other processes want the lock too. */
const shareMs = 20
/**
 * Those who wait for the lock look every `pollMs`; with other writers about, whoever has committed stays away longer
 * than that. Random back-off on both sides was seen to starve one of three writers for a second.
 */
const pollMs = 1
const yieldMs = 2
/** Others count as about for this long after a sign of them: a lock found held, or a commit that was not ours. */
const crowdedMs = 1_000
/** After so many transactions in a row, with nobody else about, whatever tells of others' commits may rest. */
const steadyTransactions = 8
/** A writer that cannot get the lock for this long is told so instead of waiting on. */
const busyLimitMs = 30_000

/** What the queue needs of a session, and nothing of what it is for. */
export interface QueueSession {
  /** After BEGIN: forget what may be stale. */
  begun(): void
  /** Set by `begun`: somebody else has committed since. */
  readonly othersCommitted: boolean
  /** Before COMMIT: write what was kept in memory. */
  flush(): void
  committed(): void
  rolledBack(): void
  savepoint<R>(work: () => Awaitable<R>): Awaitable<R>
}

interface Unit<S> {
  readonly work: (session: S) => Awaitable<unknown>
  readonly alone: boolean
  readonly nested: boolean
  readonly what: string
  readonly signal: AbortSignal | undefined
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

export interface LockWaits {
  /** Milliseconds waited for the write lock, most recent last, at most a thousand of them. */
  readonly samplesMs: readonly number[]
}

/**
 * All writes of a process to one file pass here, one transaction at a time. Units that wait together share one commit
 * (group commit), each inside a savepoint of its own where it needs one. A unit that breaks the shared transaction loses only its own
 * work: the others run again without it.
 */
export class WriteQueue<S extends QueueSession> {
  readonly #runtime: Runtime
  readonly #session: S
  readonly #connection: () => SqliteConnection
  readonly #reopen: () => void
  readonly #onSteady: (steady: boolean) => void
  readonly #inside = new AsyncLocalStorage<{ open: boolean }>()
  #units: Unit<S>[] = []
  #running = false
  #crowdedUntilMs = Number.NEGATIVE_INFINITY
  #lockWaits: number[] = []
  #synchronous = false
  #steady = false
  #idle: (() => void)[] = []

  constructor(options: {
    runtime: Runtime
    session: S
    connection: () => SqliteConnection
    reopen: () => void
    /** One transaction follows the other, and each learns at BEGIN whether somebody else has committed; or no longer. */
    onSteady: (steady: boolean) => void
  }) {
    this.#runtime = options.runtime
    this.#session = options.session
    this.#connection = options.connection
    this.#reopen = options.reopen
    this.#onSteady = options.onSteady
  }

  run<R>(work: (session: S) => Awaitable<R>, options: WriteOptions): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#units.push({
        work,
        alone: options.alone ?? false,
        nested: options.nested ?? false,
        what: options.what,
        signal: options.signal,
        resolve: resolve as (value: unknown) => void,
        reject,
      })
      if (!this.#running) {
        this.#running = true
        // One turn later, so that everything asked for in this turn shares the commit.
        queueMicrotask(() => void this.#drain())
      }
    })
  }

  /** True inside a unit's own call tree. */
  get inside(): boolean {
    return this.#synchronous || this.#inside.getStore()?.open === true
  }

  get lockWaits(): LockWaits {
    return { samplesMs: this.#lockWaits }
  }

  /** True while a transaction is open or waited for. */
  get busy(): boolean {
    return this.#running
  }

  /** One transaction follows the other, with nobody else about. */
  get steady(): boolean {
    return this.#steady
  }

  async settled(): Promise<void> {
    if (this.#running) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  async #drain(): Promise<void> {
    let inARow = 0
    while (this.#units.length > 0) {
      this.#units = this.#units.filter((unit) => {
        if (unit.signal?.aborted !== true) return true
        unit.reject(aborted(unit))
        return false
      })
      if (this.#units.length === 0) break
      try {
        await this.#begin()
      } catch (error) {
        const failed = this.#units
        this.#units = []
        for (const unit of failed) unit.reject(error)
        continue
      }
      await this.#transaction()
      const crowded = this.#runtime.monotonicMs() < this.#crowdedUntilMs
      this.#setSteady(!crowded && ++inARow >= steadyTransactions)
      if (crowded) await this.#runtime.sleep(yieldMs)
      else await new Promise<void>((resolve) => this.#runtime.defer(resolve))
    }
    this.#running = false
    this.#setSteady(false)
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  #setSteady(steady: boolean): void {
    if (steady === this.#steady) return
    this.#steady = steady
    this.#onSteady(steady)
  }

  async #begin(): Promise<void> {
    const startedMs = this.#runtime.monotonicMs()
    for (;;) {
      try {
        const connection = this.#connection()
        if (connection.inTransaction) {
          throw new OnefoldError(
            'TX_FOREIGN',
            `database ${connection.file}: the handle given to sqlite() has a transaction open; end it, or pass it as { tx }.`,
          )
        }
        connection.prepare('begin immediate').run()
        this.#lockWaits.push(this.#runtime.monotonicMs() - startedMs)
        if (this.#lockWaits.length > 1_000) this.#lockWaits = this.#lockWaits.slice(-500)
        try {
          this.#session.begun()
          if (this.#session.othersCommitted) this.#crowdedUntilMs = this.#runtime.monotonicMs() + crowdedMs
        } catch (error) {
          this.#rollback()
          throw error
        }
        return
      } catch (error) {
        if (!isBusy(error)) throw explainError(error, this.#connection().file)
        this.#crowdedUntilMs = this.#runtime.monotonicMs() + crowdedMs
        this.#setSteady(false)
        const waitedMs = this.#runtime.monotonicMs() - startedMs
        if (waitedMs > busyLimitMs) {
          throw new OnefoldError(
            'DATABASE_BUSY',
            `database ${this.#connection().file}: another process has held the write lock for ${Math.round(waitedMs)} ms. \`onefold status\` names its pid; end or continue it, then repeat.`,
            { retry: 'later', cause: error, details: { file: this.#connection().file, waitedMs } },
          )
        }
        await this.#runtime.sleep(pollMs)
      }
    }
  }

  /** Runs waiting units in the transaction that has just begun, and commits. */
  async #transaction(): Promise<void> {
    const done: { unit: Unit<S>; value: unknown }[] = []
    const failed: { unit: Unit<S>; error: unknown }[] = []
    const startedMs = this.#runtime.monotonicMs()
    for (;;) {
      const unit = this.#units.shift()
      if (unit === undefined) break
      // The first unit of a transaction, and one that makes savepoints of its own, has none around it.
      const bare = unit.nested || (done.length === 0 && failed.length === 0)
      try {
        const value = this.#runUnit(unit, bare)
        done.push({ unit, value: isThenable(value) ? await value : value })
        if (!this.#connection().inTransaction) throw transactionEnded()
      } catch (error) {
        if (done.at(-1)?.unit === unit) done.pop()
        const inTransaction = this.#connection().inTransaction
        const gone = bare && !inTransaction && !isOnefoldError(error, 'TRANSACTION_ENDED')
        failed.push({ unit, error: gone ? transactionEnded(error) : error })
        if (bare || !inTransaction) {
          // Undoing it undoes everything, the neighbours' work too: they go again, before anything newer.
          this.#rollback()
          this.#units.unshift(...done.map((entry) => entry.unit))
          for (const entry of failed) entry.unit.reject(entry.error)
          return
        }
      }
      const next = this.#units[0]
      if (next === undefined || unit.alone || next.alone || this.#runtime.monotonicMs() - startedMs > shareMs) break
    }
    // A unit that failed has been undone to its savepoint: without any that succeeded there is nothing to commit.
    if (done.length === 0) this.#rollback()
    else {
      try {
        this.#session.flush()
        await this.#runtime.reached?.('commit:before')
        this.#connection().prepare('commit').run()
      } catch (error) {
        this.#commitFailed(error, done, failed)
        return
      }
      this.#session.committed()
    }
    // Settled only now: a failed unit's answer may depend on what its neighbours left in the file.
    for (const { unit, value } of done) unit.resolve(value)
    for (const { unit, error } of failed) unit.reject(error)
  }

  #runUnit(unit: Unit<S>, bare: boolean): Awaitable<unknown> {
    const scope = { open: true }
    this.#synchronous = true
    let result: Awaitable<unknown>
    try {
      result = this.#inside.run(scope, () =>
        bare ? unit.work(this.#session) : this.#session.savepoint(() => unit.work(this.#session)),
      )
    } finally {
      this.#synchronous = false
      if (!isThenable(result)) scope.open = false
    }
    if (!isThenable(result)) return result
    // What a handler left running behind its back is outside again.
    return Promise.resolve(result).finally(() => {
      scope.open = false
    })
  }

  #commitFailed(error: unknown, done: { unit: Unit<S>; value: unknown }[], failed: { unit: Unit<S>; error: unknown }[]): void {
    const file = this.#connection().file
    for (const entry of failed) entry.unit.reject(entry.error)
    const refused = isConstraint(error)
    this.#rollback()
    if (refused) {
      // A deferred constraint: nothing was committed. Who is to blame shows when each unit commits alone.
      if (done.length === 1) {
        done[0]?.unit.reject(
          new OnefoldError(
            'COMMIT_REFUSED',
            `database ${file}: COMMIT was refused by a deferred constraint (${(error as Error).message}).`,
            {
              cause: error,
              details: { file },
            },
          ),
        )
      } else this.#units.unshift(...done.map(({ unit }) => ({ ...unit, alone: true })))
      return
    }
    const unknown = commitUnknown(error, file)
    try {
      // Only a fresh look at the file can tell what it holds.
      this.#reopen()
    } catch {
      // Reported by the next use.
    }
    for (const { unit } of done) unit.reject(unknown)
  }

  #rollback(): void {
    try {
      if (this.#connection().inTransaction) this.#connection().prepare('rollback').run()
    } catch {
      // SQLite has rolled back by itself.
    }
    this.#session.rolledBack()
  }
}

function aborted(unit: { readonly what: string; readonly signal: AbortSignal | undefined }): OnefoldError {
  return new OnefoldError('ABORTED', `${unit.what}: stopped while waiting for the write lock; nothing was written.`, {
    retry: 'now',
    cause: unit.signal?.reason,
  })
}
