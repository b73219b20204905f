import { isThenable } from '../../message.ts'
import { never, openTransaction } from './commit-faults.ts'
import { SimulationEscape } from './escape.ts'
import type { Settled } from './lock-waits.ts'
import { placeOf } from './place-of.ts'
import { short } from './places.ts'
import type { PostgresWorld } from './postgres-world.ts'
import type { PgAnswer, PgConnected } from './scratch-database.ts'
import { planned, textOf } from './scratch-database.ts'
import type { Incarnation, World } from './world.ts'
import { nobody } from './world.ts'

/** Who decides what becomes of a COMMIT. */
export interface Committing {
  /** The transaction of the message's, and nothing is left to do in it but this. */
  readonly ready: boolean
  /** `send` commits, `undo` rolls back and has the client lose its connection where it is asked to. */
  commit(send: () => Promise<PgAnswer>, undo: (loses: boolean) => Promise<void>, lose: () => void): Promise<PgAnswer>
}

type Whose = 'onefold' | 'user'

interface Listener {
  readonly self: Incarnation
  readonly channel: string
  /** Not told yet. */
  readonly unheard: string[]
  tell(payload: string): void
}

export const connectionLost = (): Error =>
  Object.assign(new Error('Connection terminated unexpectedly (simulated)'), { code: 'ECONNRESET' })

const begins = /^\s*(?:begin|start\s+transaction)\b/i
const commits = /^\s*(?:commit|end)\b/i
/** Messages of a program's own: a transaction by itself where none is open. */
const publishes = /"\.publish\(/
const notifies = /^select pg_notify\(/
const changesNothing = /^\s*(?:select|begin|start|savepoint|release|rollback|set|show)\b/i

/** Everything that hears of commits. */
export class Notices {
  readonly #world: World
  readonly #listeners = new Set<Listener>()

  constructor(world: World) {
    this.#world = world
  }

  /** Everybody hears of it in a step of their own, and of several at once when they have not heard of the first. */
  send(channel: string, payload: string): void {
    for (const listener of this.#listeners) {
      if (listener.channel !== channel) continue
      listener.unheard.push(payload)
      if (listener.unheard.length > 1) continue
      const begin = (): void => {
        for (const one of listener.unheard.splice(0)) listener.tell(one)
      }
      this.#world.call({ owner: listener.self, label: 'a notice of commits', locks: false, faults: [], begin })
    }
  }

  listen(self: Incarnation, channel: string, tell: (payload: string) => void): () => void {
    const listener: Listener = { self, channel, unheard: [], tell }
    const end = (): void => void this.#listeners.delete(listener)
    this.#listeners.add(listener)
    self.onDeath.push(end)
    return end
  }
}

/** What a process has of the server, in the shape of a pool of `pg`: real connections to a real server, a statement at a time. */
export class SimulatedPool {
  readonly options = { max: 10, host: 'simulated', database: 'prove' } as const
  readonly totalCount = 0
  readonly Client: new () => unknown
  readonly #world: World
  readonly #postgres: PostgresWorld
  readonly #self: Incarnation
  readonly #notices: Notices
  readonly #committing: () => Committing | undefined
  readonly #clients = new Set<SimulatedClient>()
  readonly #whose: Whose

  constructor(options: {
    readonly world: World
    readonly postgres: PostgresWorld
    readonly self: Incarnation
    readonly notices: Notices
    readonly committing: () => Committing | undefined
    /** Who asks: what the user's code executes is told in the story. */
    readonly whose: Whose
  }) {
    const { world, self, notices } = options
    this.#world = world
    this.#postgres = options.postgres
    this.#self = self
    this.#notices = notices
    this.#committing = options.committing
    this.#whose = options.whose
    this.Client = listeningClient(self, notices)
    // Its connections are closed by its end, before anybody else goes on.
    self.onDeath.push(() => {
      for (const client of this.#clients) client.release(true)
    })
  }

  on(): this {
    return this
  }

  async connect(): Promise<SimulatedClient> {
    const real = await this.#errand(() => this.#postgres.take())
    const client = new SimulatedClient({
      whose: this.#whose,
      committing: this.#committing,
      execute: (statement, changes) => this.#execute(real, statement, changes, client.inTransaction),
      tells: (text, own) => this.#tell(text, own),
      released: (open) => {
        if (!this.#clients.delete(client)) return
        this.#giveBack(real, open)
      },
    })
    this.#clients.add(client)
    return client
  }

  /** A statement by itself, on any connection. */
  async query(...given: unknown[]): Promise<PgAnswer> {
    const text = textOf(given[0])
    if (this.#whose === 'user') {
      if (begins.test(text)) throw new SimulationEscape('BEGIN on a pool, of which every statement may take another connection,')
      this.#tell(text, false)
    } else if (notifies.test(text)) {
      const [channel, payload] = given[1] as [string, string]
      this.#notices.send(channel, payload)
      return { command: 'SELECT', rows: [], rowCount: 0 }
    }
    const real = await this.#errand(() => this.#postgres.take())
    // Given back by whoever answers for this process, also when it dies meanwhile.
    let out = true
    const giveBack = (died: boolean): void => {
      if (out) this.#giveBack(real, died)
      out = false
    }
    this.#self.onDeath.push(() => giveBack(true))
    try {
      return await this.#execute(real, asPlanned(this.#whose, given), this.#whose === 'user' || !changesNothing.test(text), false)
    } finally {
      giveBack(false)
    }
  }

  /** By the world itself, for the process may be dead by now. */
  #giveBack(real: PgConnected, open: boolean): void {
    const run = async (): Promise<() => void> => {
      await this.#postgres.giveBack(real, open, this.#world)
      return () => undefined
    }
    this.#world.errand({ owner: nobody, run })
  }

  /** Real work, done at once, in the order in which it was asked for. */
  #execute(real: PgConnected, statement: readonly unknown[], changes: boolean, inTransaction: boolean): Promise<PgAnswer> {
    const self = this.#self
    const world = this.#world
    if (self.dead) return never<PgAnswer>()
    const within = openTransaction.getStore()
    return new Promise<PgAnswer>((resolve, reject) => {
      const handOver = (settled: Settled): void => {
        if ('value' in settled) resolve(settled.value)
        else reject(settled.error)
      }
      const run = (): Promise<() => void> => {
        if (changes) this.#postgres.commits++
        return this.#postgres.locks.send(world, { owner: self, client: real, statement, inTransaction, within, handOver })
      }
      const begin = (): void => world.errand({ owner: self, run })
      // Whoever else has something to do goes first: so transactions that are open together take turns.
      world.call({ owner: self, label: 'a statement', locks: false, faults: [], begin })
    })
  }

  #errand<R>(work: () => Promise<R>): Promise<R> {
    const self = this.#self
    if (self.dead) return never<R>()
    return new Promise<R>((resolve, reject) => {
      const run = async (): Promise<() => void> => {
        try {
          const value = await work()
          return () => resolve(value)
        } catch (error) {
          return () => reject(error)
        }
      }
      this.#world.errand({ owner: self, run })
    })
  }

  #tell(text: string, own: boolean): void {
    if (this.#world.story === undefined || text === '') return
    const where = own ? '' : '  -- not through tx: it commits by itself'
    this.#world.tell(this.#self, `${short(text)}${where}`, placeOf(new Error('here')))
  }
}

/** Of Onefold's own statements in a transaction of the user's library. */
const ownStatements = /pg_current_xact_id|\bonefold(?:_join)?$|current_setting\('|"\.(?:\w+)\b|pg_xact_status/

interface ClientOptions {
  readonly whose: Whose
  readonly committing: () => Committing | undefined
  execute(statement: readonly unknown[], changes: boolean): Promise<PgAnswer>
  tells(text: string, own: boolean): void
  released(open: boolean): void
}

/** A connection that was taken out of the pool. */
class SimulatedClient {
  readonly processID = 1
  /** Statements are executed in the order of the calls. */
  readonly pipeline = true
  readonly #options: ClientOptions
  #lost = false
  #released = false
  #open = false
  /** Onefold's transaction runs on it. */
  #own = false

  constructor(options: ClientOptions) {
    this.#options = options
  }

  get inTransaction(): boolean {
    return this.#open
  }

  query(...given: unknown[]): Promise<PgAnswer> {
    const { whose, committing, execute, tells } = this.#options
    const text = textOf(given[0])
    const callback = given.at(-1)
    if (typeof callback === 'function') {
      const answer = this.query(...given.slice(0, -1))
      answer.then(
        (value) => callback(undefined, value),
        (error: unknown) => callback(error),
      )
      return answer
    }
    if (this.#lost) return Promise.reject(connectionLost())
    if (this.#released) return Promise.reject(new Error('Client has already been released to the pool (simulated)'))
    if (begins.test(text)) this.#open = true
    if (text.includes('pg_current_xact_id()')) this.#own = true
    if (whose === 'user' && !ownStatements.test(text) && !changesOnlyState(text)) tells(text, this.#own)
    const deciding = committing()
    const isCommit = commits.test(text) || (!this.#open && publishes.test(text))
    const send = (): Promise<PgAnswer> => execute(asPlanned(whose, given), isCommit || !changesNothing.test(text))
    if (!isCommit || deciding?.ready !== true) return send()
    const undo = async (loses: boolean): Promise<void> => {
      await execute(['rollback'], false)
      if (loses) this.#lost = true
    }
    return deciding.commit(send, undo, () => {
      this.#lost = true
    })
  }

  release(_destroy?: boolean): void {
    if (this.#released) return
    this.#released = true
    this.#options.released(this.#open)
  }

  on(): this {
    return this
  }

  once(): this {
    return this
  }

  off(): this {
    return this
  }

  removeListener(): this {
    return this
  }
}

/** Only one with parameters is one statement for certain. */
function asPlanned(
  whose: Whose,
  [text, values]: readonly unknown[],
  given: readonly unknown[] = [text, values],
): readonly unknown[] {
  return whose === 'onefold' && typeof text === 'string' && Array.isArray(values) ? [planned(text, values)] : given
}

const changesOnlyState = (text: string): boolean => /^\s*(?:begin|start|commit|end|rollback|savepoint|release|set)\b/i.test(text)

/** The class of a pool's clients, of which only listening is asked. */
function listeningClient(self: Incarnation, notices: Notices): new () => unknown {
  return class {
    #tell: ((message: { payload?: string }) => void) | undefined
    #end: (() => void) | undefined

    on(event: string, listener: (message: { payload?: string }) => void): this {
      if (event === 'notification') this.#tell = listener
      return this
    }

    async connect(): Promise<void> {}

    async query(text: string): Promise<PgAnswer> {
      const channel = /^listen "(.*)"$/.exec(text)?.[1]
      if (channel === undefined) throw new SimulationEscape(`what is no LISTEN (${short(text)})`)
      this.#end = notices.listen(self, channel, (payload) => this.#tell?.({ payload }))
      return { command: 'LISTEN', rows: [], rowCount: 0 }
    }

    async end(): Promise<void> {
      this.#end?.()
    }
  }
}

/** Whose code runs: its pool, in place of the user's. Undefined outside every simulated process. */
let route: (() => SimulatedPool | undefined) | undefined
const replaced = new WeakSet<object>()

export function routePools(next: typeof route): void {
  route = next
}

/** From here on what simulated processes ask of this pool of the user's is asked of their own; what others do is not touched. */
export function replacePool(target: unknown): void {
  const pool = target as Record<'connect' | 'query', (...given: unknown[]) => unknown>
  if (replaced.has(pool)) return
  replaced.add(pool)
  for (const name of ['connect', 'query'] as const) {
    const real = pool[name].bind(pool)
    Object.defineProperty(pool, name, {
      configurable: true,
      writable: true,
      value: (...given: unknown[]): unknown => {
        const to = route?.()
        if (to === undefined) return real(...given)
        const callback = typeof given.at(-1) === 'function' ? (given.pop() as (...results: unknown[]) => void) : undefined
        const answer: Promise<unknown> = name === 'connect' ? to.connect() : to.query(...given)
        if (callback === undefined || !isThenable(answer)) return answer
        const release = (value: unknown): unknown => (value as { release?: (destroy?: boolean) => void }).release?.bind(value)
        answer.then(
          (value) => callback(undefined, value, release(value)),
          (error: unknown) => callback(error),
        )
        return undefined
      },
    })
  }
}
