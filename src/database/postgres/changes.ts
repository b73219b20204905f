import { parseJson } from '../../parse-json.ts'
import type { Runtime } from '../../runtime.ts'
import type { Changes } from '../database.ts'
import type { Listening, PostgresClient } from './client.ts'

/** A payload may have 8,000 bytes. */
const longestPayload = 7_000
/** A transaction that a message was published in commits some time soon: looked for after so long, until the next poll finds it. */
const joinedLooksMs = [5, 25, 100]

type Listener = (topics: ReadonlySet<string> | undefined) => void

/**
 * Tells of commits: of this process at once, of others by NOTIFY, and of all by looking now and then. NOTIFY never goes out in
 * a transaction that does anything else, because it makes the commits of a whole server wait for each other; it is sent
 * after, and what comes while one is under way shares the next.
 */
export class PostgresChanges implements Changes {
  readonly #runtime: Runtime
  readonly #client: PostgresClient
  readonly #channel: string
  readonly #me: string
  readonly #listeners: ReadonlySet<Listener>
  readonly #timers = new Set<Disposable>()
  #unsent: Set<string> | undefined
  #sending = false
  #listening: Listening | undefined
  #poll: Disposable | undefined
  #closed = false

  constructor(options: { runtime: Runtime; client: PostgresClient; channel: string; listeners: ReadonlySet<Listener> }) {
    this.#runtime = options.runtime
    this.#client = options.client
    this.#channel = options.channel
    this.#listeners = options.listeners
    this.#me = options.runtime.uuid()
  }

  open({ listen, pollMs }: { listen: boolean; pollMs: number }): void {
    this.#poll = this.#runtime.every(pollMs, () => this.#tell(undefined))
    if (!listen) return
    this.#listening = this.#client.listen(this.#channel, {
      notified: (payload) => this.#notified(payload),
      connected: () => this.#tell(undefined),
    })
  }

  onChange(): Disposable {
    throw new Error('listeners are kept by the database')
  }

  /** This process has committed something about these topics and partitions (or something else that others may wait for: none). */
  committed(topics: ReadonlySet<string>): void {
    if (this.#closed) return
    this.#tell(topics)
    if (topics.size === 0) return
    this.#unsent ??= new Set()
    for (const topic of topics) this.#unsent.add(topic)
    if (!this.#sending) void this.#send()
  }

  /** Messages for these are in a transaction that somebody else commits. */
  joined(topics: ReadonlySet<string>): void {
    for (const ms of joinedLooksMs) {
      const timer = this.#runtime.after(ms, () => {
        this.#timers.delete(timer)
        this.committed(topics)
      })
      this.#timers.add(timer)
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#poll?.[Symbol.dispose]()
    for (const timer of this.#timers) timer[Symbol.dispose]()
    await this.#listening?.close()
  }

  async #send(): Promise<void> {
    this.#sending = true
    while (this.#unsent !== undefined && !this.#closed) {
      const topics = [...this.#unsent]
      this.#unsent = undefined
      const payload = JSON.stringify([this.#me, ...topics])
      const short = Buffer.byteLength(payload) <= longestPayload ? payload : JSON.stringify([this.#me])
      try {
        await this.#client.execute('select pg_notify($1, $2)', [this.#channel, short])
      } catch {
        // Whoever waits looks by itself before long.
      }
    }
    this.#sending = false
  }

  #notified(payload: string): void {
    let parts: unknown
    try {
      parts = parseJson(payload)
    } catch {
      parts = undefined
    }
    if (!Array.isArray(parts)) this.#tell(undefined)
    else if (parts[0] !== this.#me) this.#tell(parts.length > 1 ? new Set(parts.slice(1).map(String)) : undefined)
  }

  #tell(topics: ReadonlySet<string> | undefined): void {
    for (const listener of this.#listeners) listener(topics)
  }
}
