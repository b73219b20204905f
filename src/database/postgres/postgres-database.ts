import { AsyncLocalStorage } from 'node:async_hooks'
import { isOnefoldError, OnefoldError } from '../../errors.ts'
import type { DatabaseCard } from '../../guarantee/card.ts'
import type { Subscription } from '../../inbox/inbox-store.ts'
import type { DatabaseStatus } from '../../inspect/status.ts'
import type { Awaitable, Envelope } from '../../message.ts'
import { isThenable } from '../../message.ts'
import type { Runtime } from '../../runtime.ts'
import type { AnyTopic } from '../../topic.ts'
import type {
  AppendStatus,
  Database,
  DatabaseOpenOptions,
  MaintenanceOptions,
  Session,
  Stores,
  WriteOptions,
} from '../database.ts'
import { postgresCard } from './card.ts'
import { PostgresChanges } from './changes.ts'
import { CheckedExecute } from './checked-execute.ts'
import type { Execute, PostgresClient } from './client.ts'
import { Conflicts } from './conflicts.ts'
import { explainError, isConflict, isLockTimeout } from './errors.ts'
import { Housekeeping } from './housekeeping.ts'
import { Joining } from './joining.ts'
import { Known } from './known.ts'
import { openServer } from './open-server.ts'
import { OpenStatements } from './open-statements.ts'
import type { CheckedOptions } from './options.ts'
import { goesThroughAgain } from './prepared-statements.ts'
import { asIfAnswered, isPlain, publishAtOnce } from './publishing.ts'
import type { HandsOut, StoresOptions } from './session.ts'
import { PostgresSession, PostgresStores, RunWithSavepoints } from './session.ts'
import { Slots } from './slots.ts'
import { Sql } from './sql.ts'
import { readStatus } from './status.ts'
import type { OpenTransaction, RunOptions } from './transaction.ts'
import { Committed, nameLife, runAtOnce, runOwn, runWith } from './transaction.ts'

/** How often work is run again after it met another transaction, before the caller hears of it. */
const mostConflicts = 10
/** After a message has failed, so many batches have savepoints before the next is tried without. */
const carefulBatches = 20
/** A statement may end a little later than the handler should. */
const graceMs = 500
/** Connections of the pool left to whoever else uses it, where it has more than two. */
const leftFree = 1

/** How the messages of one transaction are run, and how many have begun. */
interface Body {
  readonly savepoints: boolean
  readonly mostMessages: number
  ran: number
}

interface Opened {
  readonly client: PostgresClient
  readonly runtime: Runtime
  readonly changes: PostgresChanges
  readonly reader: PostgresStores
  readonly stores: StoresOptions
  readonly running: RunOptions
  readonly slots: Slots
  readonly joining: Joining
  readonly housekeeping: Housekeeping
}

export class PostgresDatabase<Tx> implements Database<Tx> {
  readonly card: DatabaseCard
  readonly #options: CheckedOptions<Tx>
  readonly #listeners = new Set<(topics: ReadonlySet<string> | undefined) => void>()
  readonly #inside = new AsyncLocalStorage<{ open: boolean }>()
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined
  #closed = false
  #careful = 0
  #removals: string | undefined
  /** Of the transaction that began last. */
  #lastXid: string | undefined
  readonly #conflicts = new Conflicts()

  constructor(options: CheckedOptions<Tx>) {
    this.#options = options
    this.card = postgresCard(options)
  }

  /** Not for applications: what it was made of. */
  get declared(): CheckedOptions<Tx>['declared'] {
    return this.#options.declared
  }

  /** Own and other processes' commits. Listeners may register before `open`. */
  readonly changes = {
    onChange: (listener: (topics: ReadonlySet<string> | undefined) => void): Disposable => {
      this.#listeners.add(listener)
      return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
    },
  }

  async open(options: DatabaseOpenOptions): Promise<void> {
    if (this.#closed) throw new OnefoldError('APP_STOPPED', 'this database was closed; make a new one with postgres().')
    this.#opening ??= this.#open(options)
    try {
      this.#opened = await this.#opening
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #open({ runtime, dedupWindow, offsetsLeave }: DatabaseOpenOptions): Promise<Opened> {
    const { schema, channel, listen, pollMs, idleInTransactionMs } = this.#options
    const client = this.#options.client(runtime)
    const where = client.where
    const incarnation = await openServer(client, runtime, this.#options)
    const known = new Known()
    const stores: StoresOptions = { schema, where, known, wallMs: () => runtime.wallMs(), relaxedOffsets: offsetsLeave !== true }
    const changes = new PostgresChanges({ runtime, client, channel, listeners: this.#listeners })
    const reading: Execute = async (text, parameters) => {
      try {
        return await client.execute(text, parameters)
      } catch (error) {
        throw explainError(error, where)
      }
    }
    // What a reader finds is committed: it is known to the whole process.
    const reader = new PostgresStores(reading, stores, known)
    changes.open({ listen, pollMs })
    return {
      client,
      runtime,
      changes,
      reader,
      stores,
      running: { client, runtime, idleInTransactionMs, where, schema, incarnation },
      slots: new Slots(Math.max(1, client.maxConnections - (client.maxConnections > 2 ? leftFree : 0))),
      joining: new Joining({ incarnation, where, schema, joinable: this.#options.joinable }),
      housekeeping: new Housekeeping({
        reader,
        write: (work) => this.write((session) => work(session as PostgresSession<Tx>), { what: 'maintenance' }),
        runtime,
        window: dedupWindow,
      }),
    }
  }

  async write<R>(work: (session: Session<Tx>) => Awaitable<R>, options: WriteOptions): Promise<R> {
    const opened = this.#ready()
    // For those a connection is left.
    if (options.urgent === true) return await this.#write(opened, work, options)
    if (!(await opened.slots.take(options.signal))) {
      throw new OnefoldError('ABORTED', `${options.what}: stopped while waiting for a connection; nothing was written.`, {
        retry: 'now',
        cause: options.signal?.reason,
      })
    }
    try {
      return await this.#write(opened, work, options)
    } finally {
      opened.slots.release()
    }
  }

  async #write<R>(opened: Opened, work: (session: Session<Tx>) => Awaitable<R>, options: WriteOptions): Promise<R> {
    if (options.nested === true) return await this.#batch(opened, work, options)
    for (let conflicts = 0; ; ) {
      try {
        return await this.#transaction(opened, work, options, {
          savepoints: true,
          mostMessages: Number.POSITIVE_INFINITY,
          ran: 0,
        })
      } catch (error) {
        const again = isConflict(error) || goesThroughAgain(error)
        if (!again || options.alone === true || ++conflicts >= mostConflicts) throw explainError(error, opened.running.where)
        await this.#pause(opened.runtime, conflicts)
      }
    }
  }

  /** Messages of a batch have no savepoints, until one fails. */
  async #batch<R>(opened: Opened, work: (session: Session<Tx>) => Awaitable<R>, options: WriteOptions): Promise<R> {
    let careful = this.#careful > 0
    if (careful) this.#careful--
    for (let conflicts = 0; ; ) {
      const { lockTimeoutMs, ...plan } = await this.#conflicts.begin()
      const running: RunOptions = lockTimeoutMs === undefined ? opened.running : { ...opened.running, lockTimeoutMs }
      const body: Body = { savepoints: careful || plan.mostMessages === 1, mostMessages: plan.mostMessages, ran: 0 }
      let how: 'done' | 'conflict' | 'failed' = 'failed'
      try {
        const result = await this.#transaction({ ...opened, running }, work, options, body)
        how = 'done'
        return result
      } catch (error) {
        if (error instanceof RunWithSavepoints) {
          careful = true
          this.#careful = carefulBatches
          continue
        }
        if (isConflict(error) || (lockTimeoutMs !== undefined && isLockTimeout(error))) how = 'conflict'
        if ((how === 'failed' && !goesThroughAgain(error)) || ++conflicts >= mostConflicts)
          throw explainError(error, opened.running.where)
      } finally {
        this.#conflicts.end({ lockTimeoutMs, ...plan }, how, body.ran)
      }
      await this.#pause(opened.runtime, conflicts)
    }
  }

  #pause(runtime: Runtime, conflicts: number): Promise<void> {
    return runtime.sleep(Math.ceil(runtime.random() * 5 * 2 ** Math.min(conflicts, 6)))
  }

  /** One transaction: everything of `work`, or nothing. */
  async #transaction<R>(
    { running, stores, changes, stores: { known } }: Opened,
    work: (session: Session<Tx>) => Awaitable<R>,
    options: WriteOptions,
    how: Body,
  ): Promise<R> {
    const { transactions } = this.#options
    const unitOfWork = options.handsOutTx === true ? transactions?.unitOfWork : undefined
    let session: PostgresSession<Tx> | undefined
    let result: { readonly value: R } | undefined
    let handedOut = false
    let removals: string | undefined
    const { under } = options
    const statements = new OpenStatements(running.where)
    const numberOf = ({ topic, group }: Subscription): number | undefined => known.subscriptions.get(`${topic}\n${group}`)
    const body = async (open: OpenTransaction): Promise<void> => {
      const handOut: HandsOut<Tx> = () => {
        handedOut = true
        statements.seen = false
        checked?.handedOut()
        const handle = this.#options.handle(open)
        if (unitOfWork === undefined) return handle
        const finish = async (): Promise<void> => {
          // What it writes belongs to this transaction, and to no other.
          await checked?.verify()
          await unitOfWork.flush(handle.tx)
          unitOfWork.clear(handle.tx)
        }
        return { ...handle, finish }
      }
      removals = open.removals
      if (removals !== this.#removals) {
        known.clear()
        statements.forgetCheckpoint()
      }
      this.#removals = removals
      this.#lastXid = open.xid
      const inOrder = open.connection !== undefined
      const checked = inOrder ? undefined : new CheckedExecute(open.execute, open.xid)
      session = new PostgresSession<Tx>(checked?.execute ?? open.execute, {
        ...stores,
        life: open.life,
        xid: open.xid,
        open: inOrder ? statements : undefined,
        openTx: handOut,
        verify: checked === undefined ? undefined : () => checked.verify(),
        forget: unitOfWork === undefined ? undefined : () => unitOfWork.clear(open.tx as Tx),
        inOrder,
        ...how,
      })
      const scope = { open: true }
      const current = session
      try {
        const value = this.#inside.run(scope, () => work(current))
        result = { value: isThenable(value) ? await value : value }
      } catch (error) {
        // What failed first, where what followed was only told that the transaction is aborted.
        throw (await statements.failure()) ?? error
      } finally {
        how.ran = current.ran
        scope.open = false
      }
    }
    // Whoever waits for the handler has given it up by then, and waits for its statement.
    const limited: RunOptions =
      options.timeoutMs === undefined ? running : { ...running, statementTimeoutMs: options.timeoutMs + graceMs }
    try {
      if (options.handsOutTx === true && transactions !== undefined) await runWith(limited, transactions, body)
      else
        await runOwn(limited, body, statements, {
          handedOut: () => handedOut,
          askFirst: (execute) => {
            if (under !== undefined) statements.askFirst(execute, stores.schema, under, numberOf(under.subscription))
          },
        })
    } catch (error) {
      if (!(error instanceof Committed) || result === undefined) throw error
    }
    if (session !== undefined) {
      // What was found before a removal may be gone by now.
      if (removals === this.#removals) known.adopt(session.context.made)
      changes.committed(session.context.touched)
    }
    return (result as { readonly value: R }).value
  }

  /** Whether `appendAtOnce` has a way for these. */
  appendsAtOnce(topic: AnyTopic, envelopes: readonly Envelope[]): boolean {
    const { reader } = this.#ready()
    return reader.context.known.declared.has(topic) && isPlain(reader.context, topic.name, envelopes)
  }

  async appendAtOnce(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly AppendStatus[] | undefined> {
    const opened = this.#ready()
    const record = opened.reader.context.known.declared.get(topic)
    const sinceXid = this.#lastXid
    if (record === undefined || sinceXid === undefined || !this.appendsAtOnce(topic, envelopes)) return undefined
    const { reader, running, slots, changes } = opened
    let lost: unknown
    const call = { removals: this.#removals, receipt: Math.floor(running.runtime.random() * 2 ** 53) }
    await slots.take()
    try {
      return await runAtOnce(running, async (execute, committed) => {
        const context = { ...reader.context, sql: new Sql(execute, running.schema), touched: new Set<string>() }
        const published = await publishAtOnce(context, record, envelopes, { ...call, committed })
        if (published === undefined) return undefined
        changes.committed(context.touched)
        if (published.nameless) await nameLife(running.client, running.schema).catch(() => undefined)
        return published.statuses
      })
    } catch (error) {
      if (!isOnefoldError(error, 'COMMIT_UNKNOWN')) throw error
      lost = error
    } finally {
      slots.release()
    }
    try {
      const again = await this.write(async (session) => session.log.append(await session.topics.declare(topic), envelopes), {
        what: `publish to ${topic.name}`,
      })
      return await asIfAnswered(reader.context.sql, record, envelopes, again, { receipt: call.receipt, sinceXid })
    } catch {
      // Nobody knows more than before.
      throw lost
    }
  }

  async read<R>(work: (stores: Stores) => Awaitable<R>): Promise<R> {
    return await work(this.#ready().reader)
  }

  async join<R>(tx: unknown, work: (session: Session<Tx>) => Awaitable<R>): Promise<R> {
    const { stores, joining, changes } = this.#ready()
    return joining.join(tx, async (execute) => {
      const session = new PostgresSession<Tx>(execute, {
        ...stores,
        openTx: noHandle,
        inOrder: false,
        savepoints: true,
        mostMessages: Number.POSITIVE_INFINITY,
      })
      const result = await work(session)
      changes.joined(session.context.touched)
      return result
    })
  }

  insideTransaction(): boolean {
    return this.#inside.getStore()?.open === true
  }

  async maintain(options: MaintenanceOptions): Promise<boolean> {
    return this.#ready().housekeeping.step(options)
  }

  /** Nothing is promised: old versions of rows stay in the files, the log and backups until the server reuses their place. */
  async scrub(): Promise<boolean> {
    return false
  }

  async status(): Promise<DatabaseStatus> {
    const { reader, runtime, running } = this.#ready()
    return readStatus(reader, runtime, running.where)
  }

  async backup(): Promise<void> {
    throw new OnefoldError(
      'NOT_POSSIBLE',
      "a PostgreSQL database is backed up with PostgreSQL's own tools: pg_dump or pg_basebackup.",
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    const opened = await this.#opening?.catch(() => undefined)
    if (opened === undefined) return
    this.#opening = undefined
    await opened.slots.idle()
    await opened.changes.close()
    this.#opened = undefined
  }

  #ready(): Opened {
    if (this.#opened === undefined) throw new OnefoldError('APP_STOPPED', 'the database is not open.', { retry: 'never' })
    return this.#opened
  }
}

function noHandle(): never {
  throw new OnefoldError('TX_FOREIGN', 'a transaction that somebody else commits hands out no tx.')
}
