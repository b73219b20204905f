import type { Changes, Database, Session, Stores, WriteOptions } from '../../database/database.ts'
import { sqliteCard } from '../../database/sqlite/card.ts'
import { commitUnknown, isConstraint, transactionEnded } from '../../database/sqlite/errors.ts'
import { SqliteSession, SqliteStores } from '../../database/sqlite/session.ts'
import type { SqliteTx } from '../../database/sqlite/transaction-handle.ts'
import { TransactionHandle } from '../../database/sqlite/transaction-handle.ts'
import { OnefoldError } from '../../errors.ts'
import type { DatabaseStatus } from '../../inspect/status.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import { commitFaults, fewerPartitions, never, ofMessages, undoneWithSavepoints } from './commit-faults.ts'
import { SimulationEscape } from './escape.ts'
import { readIn } from './reads.ts'
import type { SqliteWorld } from './sqlite-world.ts'
import { prefix, ReadingConnection, SessionConnection } from './sqlite-world.ts'
import { fine, stopFaults } from './world.ts'
import type { ProcessDatabaseOptions } from './world-database.ts'

export interface SimulatedDatabaseOptions extends ProcessDatabaseOptions {
  readonly sqlite: SqliteWorld
  readonly neighbours: Set<SimulatedDatabase>
}

/** Its handlers' statements are asked of the database each time. */
class SimulatedSession extends SqliteSession {
  readonly #handlers: SessionConnection['handlers']
  readonly #checkedSql = new Set<string>()

  constructor(connection: SessionConnection, options: ConstructorParameters<typeof SqliteSession>[1]) {
    super(connection, options)
    this.#handlers = connection.handlers
  }

  override openTx(): { readonly tx: SqliteTx; close(): void } {
    const tx = new TransactionHandle(this.#handlers, this.#checkedSql)
    return { tx, close: () => tx.revoke() }
  }
}

/** The database port of one simulated process, over real SQL: every commit is a place where the world may fail it. */
export class SimulatedDatabase implements Database<SqliteTx> {
  readonly card = sqliteCard('simulated', 'FULL')
  readonly changes: Changes
  readonly #options: SimulatedDatabaseOptions
  readonly #connection: SessionConnection
  readonly #session: SqliteSession
  readonly #reader: SqliteStores
  readonly #listeners = new Set<(topics: ReadonlySet<string> | undefined) => void>()
  /** Topics of commits of others that this process has not been told of yet. */
  #unheard: Set<string> | undefined
  #inside = false

  constructor(options: SimulatedDatabaseOptions) {
    this.#options = options
    const { world, sqlite, self } = options
    this.#connection = new SessionConnection(sqlite, self)
    const stores = { prefix, wallMs: () => world.nowMs }
    this.#session = new SimulatedSession(this.#connection, { ...stores, onCommit: () => undefined })
    this.#reader = new SqliteStores(new ReadingConnection(sqlite, self), stores)
    fewerPartitions(this.#session, options.maxPartitions)
    undoneWithSavepoints(this.#session, options.log, self.worker)
    this.changes = {
      onChange: (listener) => {
        this.#listeners.add(listener)
        return { [Symbol.dispose]: () => void this.#listeners.delete(listener) }
      },
    }
    self.onDeath.push(() => this.#died())
  }

  async open(): Promise<void> {
    this.#options.neighbours.add(this)
  }

  async close(): Promise<void> {
    this.#options.neighbours.delete(this)
  }

  write<R>(work: (session: Session<SqliteTx>) => Awaitable<R>, { what }: WriteOptions): Promise<R> {
    const { world, self, everyCommit } = this.#options
    return new Promise<R>((resolve, reject) => {
      world.call({
        owner: self,
        label: what,
        locks: true,
        faults: everyCommit || ofMessages.test(what) ? [...commitFaults, ...stopFaults(self)] : [],
        begin: (fault) => void this.#transaction(work, what, fault).then(resolve, reject),
      })
    })
  }

  async #transaction<R>(work: (session: Session<SqliteTx>) => Awaitable<R>, what: string, fault: string): Promise<R> {
    const { world, self, log } = this.#options
    const session = this.#session
    if (fault === 'killed before COMMIT') return this.#killed(`before COMMIT of: ${what}`)
    if (fault === 'refused, busy') {
      world.tell(self, `is told that the database is busy: ${what}`)
      throw new OnefoldError('DATABASE_BUSY', 'the simulated database is busy.', { retry: 'later' })
    }
    this.#connection.prepare('begin immediate').run()
    this.#connection.open = true
    world.locked = self
    log.begun(self.worker)
    const thaws = fault === 'frozen inside its transaction'
    if (fault !== fine && !thaws) log.unanswered(self)
    let value: R
    try {
      session.begun()
      const running = this.#run(work)
      value = isThenable(running) ? ((await running) as R) : running
      if (self.dead) return await never<R>()
      if (!this.#connection.inTransaction) throw transactionEnded()
      session.flush()
      if (thaws) {
        world.freeze(self, `inside the transaction of: ${what}`)
        await new Promise<void>((resolve) => void world.timer(self, 0, resolve))
      }
      if (fault === 'COMMIT lost, answer lost') throw commitUnknown(new Error('disk I/O error (simulated)'), 'simulated')
      this.#commit()
    } catch (error) {
      if (self.dead) return await never<R>()
      this.#rollback()
      if (fault === 'COMMIT lost, answer lost') world.tell(self, `COMMIT fails, and nobody says whether it did: ${what}`)
      throw error
    }
    if (fault === 'killed after COMMIT') return this.#killed(`after COMMIT of: ${what}`)
    if (fault === 'COMMIT took effect, answer lost') {
      world.tell(self, `COMMIT takes effect, but its answer is an error: ${what}`)
      throw commitUnknown(new Error('disk I/O error (simulated)'), 'simulated')
    }
    return value
  }

  #run<R>(work: (session: Session<SqliteTx>) => Awaitable<R>): Awaitable<R> {
    this.#inside = true
    try {
      return work(this.#session)
    } finally {
      this.#inside = false
    }
  }

  #commit(): void {
    const { world, sqlite, self, log } = this.#options
    try {
      this.#connection.prepare('commit').run()
    } catch (error) {
      if (!isConstraint(error)) throw error
      throw new OnefoldError('COMMIT_REFUSED', `COMMIT was refused by a deferred constraint (${(error as Error).message}).`, {
        cause: error,
      })
    }
    this.#connection.open = false
    world.locked = undefined
    sqlite.commits++
    this.#connection.ownCommits++
    log.committed(self.worker)
    const topics = new Set(this.#session.touched)
    this.#session.committed()
    this.#committed(topics)
  }

  #rollback(): void {
    const { world, sqlite, self, log } = this.#options
    if (!this.#connection.open) return
    if (sqlite.connection.inTransaction) sqlite.connection.exec('rollback')
    this.#connection.open = false
    world.locked = undefined
    log.rolledBack(self.worker)
    if (!self.dead) this.#session.rolledBack()
  }

  #killed<R>(when: string): Promise<R> {
    const { world, self } = this.#options
    world.crash(self, when)
    return never<R>()
  }

  #died(): void {
    this.#rollback()
    this.#options.neighbours.delete(this)
  }

  /** Everybody else hears of it in a step of their own, and of several commits at once when they have not heard of the first. */
  #committed(topics: ReadonlySet<string>): void {
    this.#tell(topics)
    for (const other of this.#options.neighbours) if (other !== this) other.#notice(topics)
  }

  #notice(topics: ReadonlySet<string>): void {
    const { world, self } = this.#options
    this.#reader.topics.forget()
    this.#reader.subscriptions.forget()
    // Nobody waits for a commit that keeps house: leases and members are looked at when it is time.
    if (topics.size === 0) return
    if (this.#unheard !== undefined) {
      for (const topic of topics) this.#unheard.add(topic)
      return
    }
    const unheard = new Set(topics)
    this.#unheard = unheard
    const begin = (): void => {
      this.#unheard = undefined
      this.#tell(unheard)
    }
    world.call({ owner: self, label: 'a notice of commits', locks: false, faults: [], begin })
  }

  #tell(topics: ReadonlySet<string>): void {
    this.#reader.topics.forget()
    this.#reader.subscriptions.forget()
    for (const listener of [...this.#listeners]) listener(topics)
  }

  /** What is committed: while somebody's transaction is open, its end is waited for. */
  read<R>(work: (stores: Stores) => Awaitable<R>): Promise<R> {
    const { world, self } = this.#options
    if (world.locked !== undefined && world.locked !== self) return this.#readLater(work)
    return readIn(this.#options, (look) => look(this.#reader), work)
  }

  async #readLater<R>(work: (stores: Stores) => Awaitable<R>): Promise<R> {
    const { world, self } = this.#options
    await new Promise<void>((resolve) => {
      world.call({ owner: self, label: 'a read', locks: true, faults: [], begin: () => resolve() })
    })
    return this.read(work)
  }

  join<R>(tx: unknown, work: (session: Session<SqliteTx>) => Awaitable<R>): Awaitable<R> {
    if (tx instanceof TransactionHandle && tx.isOn(this.#connection.handlers)) {
      tx.assertOpen()
      return work(this.#session)
    }
    throw new OnefoldError('TX_FOREIGN', 'in the simulator, tx is the handle that apply or app.transaction() gives.')
  }

  /** The world lets one process run at a time: its transaction is open, and it is its code that asks. */
  insideTransaction(): boolean {
    const { world, self } = this.#options
    return this.#inside || (world.locked === self && world.current === self)
  }

  async maintain(): Promise<boolean> {
    return false
  }

  async scrub(): Promise<boolean> {
    return true
  }

  async status(): Promise<DatabaseStatus> {
    throw new SimulationEscape('app.status()')
  }

  async backup(): Promise<void> {
    throw new SimulationEscape('app.backup()')
  }
}
