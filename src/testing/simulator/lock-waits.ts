import { nodeRuntime } from '../../runtime/node-runtime.ts'
import type { PgAnswer, PgConnected } from './scratch-database.ts'
import { textOf } from './scratch-database.ts'
import type { Incarnation, World } from './world.ts'
import { nobody } from './world.ts'

export type Settled = { readonly value: PgAnswer } | { readonly error: unknown }

/** A statement, and who waits for its answer. */
export interface Statement {
  readonly owner: Incarnation
  readonly client: PgConnected
  readonly statement: readonly unknown[]
  /** A transaction is open on its connection. */
  readonly inTransaction: boolean
  /** The transaction of Onefold's in whose handler it is asked for, on whichever connection. Undefined: in none. */
  readonly within: unknown
  handOver(settled: Settled): void
}

interface Sent extends Statement {
  readonly answer: Promise<unknown>
  settled: Settled | undefined
}

/** In real time, before the server is asked whether a statement waits. */
const lookAfterMs = 3
/** In simulated time, and longer than anybody is frozen: a statement that has waited for a lock for so long is cancelled. */
const longestWaitMs = 1_000
const clock = nodeRuntime()

const endsTransaction = /^\s*(?:commit|end|rollback)\b/i

const deadlock = (): Error => Object.assign(new Error('deadlock detected (simulated)'), { code: '40P01', severity: 'ERROR' })

const waitsForItself = (): Error =>
  Object.assign(
    new Error('this statement waits for a lock of the transaction that its own handler is in: it would wait for ever. Use tx.'),
    { code: '55P03', severity: 'ERROR' },
  )

/**
 * Statements on their way to the server. Each of them is answered, or waits for what another transaction has locked, before the
 * world goes on; when that other one has ended, it is answered before anything else is done. So what waits for whom, and who is the one
 * that a deadlock ends (who closes the circle), is the same in every run.
 */
export class LockWaits {
  readonly #observer: PgConnected
  readonly #waiting: Sent[] = []
  /** By the number of the connection: the transaction of Onefold's that is open on it. */
  readonly #within = new Map<number, unknown>()

  constructor(observer: PgConnected) {
    this.#observer = observer
  }

  /** Answers what hands the answer over, now or, where it waits, in an errand of its own. */
  async send(world: World, asked: Statement): Promise<() => void> {
    const { owner, client, statement, inTransaction, within, handOver } = asked
    if (inTransaction) this.#within.set(client.processID, within)
    const settle = (settled: Settled): void => {
      sent.settled = settled
    }
    const answer = client.query(...statement).then(
      (value) => settle({ value }),
      (error: unknown) => settle({ error }),
    )
    const sent: Sent = { ...asked, answer, settled: undefined }
    await this.#settledOrWaiting(sent)
    if (sent.settled === undefined) {
      this.#waiting.push(sent)
      const hopeless = await this.#hopeless(sent)
      if (hopeless !== undefined) {
        await this.cancel(client)
        return () => handOver({ error: hopeless })
      }
      world.tell(owner, 'waits for a lock')
      world.timer(nobody, longestWaitMs, () => {
        if (this.#waiting.includes(sent)) world.errand({ owner: nobody, run: () => this.#giveUp(world, sent) })
      })
      return () => undefined
    }
    const { settled } = sent
    if (endsTransaction.test(textOf(statement[0]))) this.#within.delete(client.processID)
    else if (inTransaction) return () => handOver(settled)
    await this.released(world)
    return () => handOver(settled)
  }

  /** Of this client nothing is under way any more. */
  async cancel(client: PgConnected): Promise<void> {
    const sent = this.#waiting.find((one) => one.client === client)
    if (sent === undefined) return
    this.#waiting.splice(this.#waiting.indexOf(sent), 1)
    await this.#observer.query('select pg_cancel_backend($1)', [client.processID])
    await sent.answer
  }

  /** A transaction has ended: some of those that waited may go on now. */
  async released(world: World): Promise<void> {
    for (let again = true; again; ) {
      again = false
      for (const sent of [...this.#waiting]) {
        await this.#settledOrWaiting(sent)
        const { settled } = sent
        if (settled === undefined) continue
        this.#waiting.splice(this.#waiting.indexOf(sent), 1)
        world.errand({ owner: sent.owner, run: async () => () => sent.handOver(settled) })
        again = true
      }
    }
  }

  async #giveUp(world: World, sent: Sent): Promise<() => void> {
    await this.cancel(sent.client)
    world.tell(sent.owner, 'has waited for a lock for too long')
    await this.released(world)
    return () => world.errand({ owner: sent.owner, run: async () => () => sent.handOver(sent.settled as Settled) })
  }

  async #settledOrWaiting(sent: Sent): Promise<void> {
    for (;;) {
      const timer = Promise.withResolvers<void>()
      using _after = clock.after(lookAfterMs, () => timer.resolve())
      await Promise.race([sent.answer, timer.promise])
      if (sent.settled !== undefined) return
      const blockers = await this.#blockersOf(sent.client)
      if (sent.settled !== undefined) return
      if (blockers.length > 0) return
    }
  }

  async #blockersOf({ processID }: PgConnected): Promise<number[]> {
    const { rows } = await this.#observer.query('select pg_blocking_pids($1) as pids', [processID])
    return rows[0]?.pids as number[]
  }

  /** It waits, by way of others that wait, for itself; or for the transaction of its own handler, which waits for it. */
  async #hopeless(sent: Sent): Promise<Error | undefined> {
    const seen = new Set<number>()
    const open = await this.#blockersOf(sent.client)
    for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
      if (pid === sent.client.processID) return deadlock()
      if (sent.within !== undefined && this.#within.get(pid) === sent.within) return waitsForItself()
      const other = this.#waiting.find(({ client }) => client.processID === pid)
      if (seen.has(pid) || other === undefined) continue
      seen.add(pid)
      open.push(...(await this.#blockersOf(other.client)))
    }
    return undefined
  }
}
