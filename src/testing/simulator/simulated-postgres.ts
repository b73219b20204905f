import type {
  AppendStatus,
  Changes,
  Database,
  DatabaseOpenOptions,
  Session,
  Stores,
  WriteOptions,
} from '../../database/database.ts'
import { commitUnknown } from '../../database/postgres/errors.ts'
import { checkedOptions } from '../../database/postgres/options.ts'
import { PostgresDatabase } from '../../database/postgres/postgres-database.ts'
import { OnefoldError } from '../../errors.ts'
import type { DatabaseCard } from '../../guarantee/card.ts'
import type { DatabaseStatus } from '../../inspect/status.ts'
import type { Awaitable, Envelope } from '../../message.ts'
import type { AnyTopic } from '../../topic.ts'
import { commitFaults, fewerPartitions, never, ofMessages, openTransaction, undoneWithSavepoints } from './commit-faults.ts'
import { SimulationEscape } from './escape.ts'
import type { PostgresWorld } from './postgres-world.ts'
import { readIn } from './reads.ts'
import type { PgAnswer } from './scratch-database.ts'
import type { Committing, Notices } from './simulated-pool.ts'
import { connectionLost, SimulatedPool } from './simulated-pool.ts'
import type { Turns } from './turns.ts'
import { fine, stopFaults } from './world.ts'
import type { ProcessDatabaseOptions } from './world-database.ts'

/** What may go wrong with a commit on a server, beside what may with any. The server is asked what became of it. */
const serverFaults = [
  'COMMIT took effect, connection lost',
  'COMMIT lost, connection lost',
  'undone for meeting another transaction',
  'COMMIT later than others',
] as const

/** A timer is for when nobody has anything to do at this moment. */
const slowMs = 1

export interface SimulatedPostgresOptions extends ProcessDatabaseOptions {
  readonly postgres: PostgresWorld
  readonly notices: Notices
  /** For open transactions. */
  readonly places: Turns
}

/** The database port of one simulated process: the real one, over a pool whose statements go to the server when the world lets them. */
export class SimulatedPostgres implements Database<unknown> {
  readonly card: DatabaseCard
  readonly changes: Changes
  /** What the user's code is given in place of its own pool. */
  readonly userPool: SimulatedPool
  readonly #options: SimulatedPostgresOptions
  readonly #inner: PostgresDatabase<unknown>
  readonly #reduced = new Map<AnyTopic, AnyTopic>()
  /** How many places it has. */
  #taken = 0

  constructor(options: SimulatedPostgresOptions) {
    this.#options = options
    const { world, self, postgres, notices } = options
    const committing = (): Committing | undefined => {
      const commit = openTransaction.getStore()
      return commit instanceof Commit ? commit : undefined
    }
    const pool = new SimulatedPool({ world, postgres, self, notices, committing, whose: 'onefold' })
    this.userPool = new SimulatedPool({ world, postgres, self, notices, committing, whose: 'user' })
    const { options: declared } = postgres.declared
    // Here one connection stands for another: what a server knows of one, the next may not.
    const ofProcess = { ...declared, preparedStatements: false }
    this.card = new PostgresDatabase(checkedOptions(pool, ofProcess)).card
    this.#inner = new PostgresDatabase(
      checkedOptions(pool, {
        ...ofProcess,
        migrations: 'check',
        durability: 'off',
        listen: true,
        // In real time, of which none passes here.
        idleInTransactionMs: 600_000,
      }),
    )
    this.changes = this.#inner.changes
    self.onDeath.push(() => {
      while (this.#taken > 0) this.#leave()
    })
  }

  open(options: DatabaseOpenOptions): Promise<void> {
    return this.#inner.open(options)
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  write<R>(work: (session: Session<unknown>) => Awaitable<R>, options: WriteOptions): Promise<R> {
    const { world, self } = this.#options
    const { what } = options
    return new Promise<R>((resolve, reject) => {
      world.call({
        owner: self,
        label: what,
        locks: false,
        faults: this.#faultsOf(what),
        begin: (fault) => void this.#transaction(work, options, fault).then(resolve, reject),
      })
    })
  }

  /** The way that a program's own messages take, unless something is particular about them. */
  async appendAtOnce(topic: AnyTopic, envelopes: readonly Envelope[]): Promise<readonly AppendStatus[] | undefined> {
    const declared = this.#reduced.get(topic) ?? topic
    if (!this.#inner.appendsAtOnce(declared, envelopes)) return undefined
    const what = `publish to ${topic.name}`
    return new Promise((resolve, reject) => {
      const run = (commit: Commit): Promise<readonly AppendStatus[] | undefined> => {
        commit.ready = true
        return this.#inner.appendAtOnce(declared, envelopes)
      }
      this.#options.world.call({
        owner: this.#options.self,
        label: what,
        locks: false,
        faults: this.#faultsOf(what),
        begin: (fault) => void this.#committing(run, { what }, fault).then(resolve, reject),
      })
    })
  }

  #faultsOf(what: string): readonly string[] {
    const { self, everyCommit } = this.#options
    return everyCommit || ofMessages.test(what) ? [...commitFaults, ...serverFaults, ...stopFaults(self)] : []
  }

  #transaction<R>(work: (session: Session<unknown>) => Awaitable<R>, options: WriteOptions, fault: string): Promise<R> {
    const { log } = this.#options
    return this.#committing(
      (commit) =>
        this.#inner.write(async (session) => {
          commit.ready = false
          log.begun(commit)
          this.#prepare(session, commit)
          const value = await work(session)
          commit.ready = true
          return value
        }, options),
      options,
      fault,
    )
  }

  async #committing<R>(run: (commit: Commit) => Promise<R>, options: WriteOptions, fault: string): Promise<R> {
    const { world, self, log } = this.#options
    const { what } = options
    if (fault === 'refused, busy') {
      world.tell(self, `is told that the database is busy: ${what}`)
      throw new OnefoldError('DATABASE_BUSY', 'the simulated database is busy.', { retry: 'later' })
    }
    await this.#enter(options)
    if (fault.startsWith('killed') || fault.endsWith('answer lost')) log.unanswered(self)
    const commit = new Commit(this.#options, what, fault)
    try {
      const value = await openTransaction.run(commit, () => run(commit))
      if (self.dead) return await never<R>()
      if (fault === 'COMMIT took effect, answer lost') {
        world.tell(self, `COMMIT takes effect, and nobody says whether it did: ${what}`)
        throw unknown()
      }
      return value
    } catch (error) {
      if (self.dead) return await never<R>()
      log.rolledBack(commit)
      if (commit.undone && fault === 'COMMIT lost, answer lost') {
        world.tell(self, `COMMIT fails, and nobody says whether it did: ${what}`)
        throw unknown()
      }
      throw error
    } finally {
      if (!self.dead) this.#leave(options)
    }
  }

  /** Its transaction is about to be opened. A heartbeat waits for no other. */
  async #enter({ urgent }: WriteOptions): Promise<void> {
    const { self, places } = this.#options
    if (urgent === true) return
    await places.take()
    this.#taken++
    if (self.dead) this.#leave()
  }

  #leave({ urgent }: Pick<WriteOptions, 'urgent'> = {}): void {
    if (this.#taken === 0 || urgent === true) return
    this.#taken--
    this.#options.places.release()
  }

  #prepare(session: Session<unknown>, of: unknown): void {
    const { log, maxPartitions } = this.#options
    fewerPartitions(session, maxPartitions, this.#reduced)
    undoneWithSavepoints(session, log, of)
  }

  /** What is committed. */
  read<R>(work: (stores: Stores) => Awaitable<R>): Promise<R> {
    return readIn(this.#options, (look) => this.#inner.read(look), work)
  }

  join<R>(tx: unknown, work: (session: Session<unknown>) => Awaitable<R>): Promise<R> {
    return this.#inner.join(tx, (session) => {
      this.#prepare(session, openTransaction.getStore())
      return work(session)
    })
  }

  insideTransaction(): boolean {
    return this.#inner.insideTransaction()
  }

  async maintain(): Promise<boolean> {
    return false
  }

  async scrub(): Promise<boolean> {
    return false
  }

  async status(): Promise<DatabaseStatus> {
    throw new SimulationEscape('app.status()')
  }

  async backup(): Promise<void> {
    throw new SimulationEscape('app.backup()')
  }
}

/** What becomes of one COMMIT. */
class Commit implements Committing {
  /** Nothing is left to do in the transaction. */
  ready = false
  /** It was rolled back instead. */
  undone = false
  readonly #options: SimulatedPostgresOptions
  readonly #what: string
  /** Of the first COMMIT only: what is undone may run again. */
  #fault: string

  constructor(options: SimulatedPostgresOptions, what: string, fault: string) {
    this.#options = options
    this.#what = what
    this.#fault = fault
  }

  async commit(send: () => Promise<PgAnswer>, undo: (loses: boolean) => Promise<void>, lose: () => void): Promise<PgAnswer> {
    const { world, self, log } = this.#options
    const what = this.#what
    const fault = this.#fault
    this.#fault = fine
    this.ready = false
    switch (fault) {
      case 'killed before COMMIT':
        world.crash(self, `before COMMIT of: ${what}`)
        return await never()
      case 'frozen inside its transaction':
        world.freeze(self, `inside the transaction of: ${what}`)
        await new Promise<void>((resolve) => void world.timer(self, 0, resolve))
        break
      case 'COMMIT later than others':
        world.tell(self, `is slow: others go on before COMMIT of: ${what}`)
        await new Promise<void>((resolve) => void world.timer(self, slowMs, resolve))
        break
      case 'COMMIT lost, answer lost':
      case 'COMMIT lost, connection lost':
        if (fault === 'COMMIT lost, connection lost') world.tell(self, `loses its connection before COMMIT: ${what}`)
        await undo(true)
        this.undone = true
        throw connectionLost()
      case 'undone for meeting another transaction':
        world.tell(self, `is undone, for it met another transaction: ${what}`)
        await undo(false)
        throw Object.assign(new Error('deadlock detected (simulated)'), { code: '40P01', severity: 'ERROR' })
    }
    const answer = await send()
    if (answer.command === 'COMMIT') log.committed(this)
    if (/^(?:consume|transaction)/.test(what)) world.tell(self, `${answer.command} of: ${what}`)
    if (fault === 'killed after COMMIT') {
      world.crash(self, `after COMMIT of: ${what}`)
      return await never()
    }
    if (fault === 'COMMIT took effect, connection lost') {
      world.tell(self, `loses its connection after COMMIT: ${what}`)
      lose()
      throw connectionLost()
    }
    return answer
  }
}

const unknown = (): OnefoldError => commitUnknown(new Error('connection lost (simulated)'), 'simulated')
