import { nodeRuntime } from '../../runtime/node-runtime.ts'
import type { Decisions } from './decisions.ts'
import { UnhandledRejection } from './escape.ts'
import { placeOf } from './place-of.ts'

/** One life of one simulated process. */
export class Incarnation {
  readonly name: string
  readonly life: number
  readonly pid: number
  dead = false
  /** It executes nothing before this time: SIGSTOP, a long collection, a laptop that was closed. */
  frozenUntilMs = Number.NEGATIVE_INFINITY
  readonly onDeath: (() => void)[] = []
  readonly onFreeze: (() => void)[] = []
  /** It ended by itself, in good order. */
  stopped = false
  /** SIGTERM: it is to end in good order, or at once. Undefined where nobody tells it, and when it has been told. */
  stop: ((how: 'in good order' | 'at once') => void) | undefined

  constructor(name: string, life: number, pid: number) {
    this.name = name
    this.life = life
    this.pid = pid
  }

  /** Of this life: `worker 1/2`. */
  get worker(): string {
    return `${this.name}/${this.life}`
  }

  toString(): string {
    return this.life === 1 ? this.name : `${this.name} (life ${this.life})`
  }
}

/** Whose timers are those of the world itself: it is never killed nor frozen. */
export const nobody = new Incarnation('the world', 1, 0)

/** Something a process asks of the world outside it, and waits for. */
export interface PortCall {
  readonly owner: Incarnation
  /** For people: 'publish to orders'. */
  readonly label: string
  /** It needs the database's one write lock. */
  readonly locks: boolean
  /** What may go wrong here, besides nothing. */
  readonly faults: readonly string[]
  begin(fault: string): void
}

/** Something real that a process waits for: until it is done nobody does anything, and no time passes. */
export interface Errand {
  readonly owner: Incarnation
  /** Answers what hands the answer over. It does not reject. */
  run(): Promise<() => void>
}

class Timer implements Disposable {
  atMs: number
  readonly order: number
  readonly owner: Incarnation
  readonly fire: () => void
  cancelled = false

  constructor(atMs: number, order: number, owner: Incarnation, fire: () => void) {
    this.atMs = atMs
    this.order = order
    this.owner = owner
    this.fire = fire
  }

  cancel(): void {
    this.cancelled = true
  }

  [Symbol.dispose](): void {
    this.cancelled = true
  }
}

/** What happened, for the story of one schedule. */
export interface Moment {
  readonly atMs: number
  readonly who: string
  readonly what: string
  /** Of the user's code that took part. */
  readonly place?: string | undefined
}

export const fine = 'nothing goes wrong'
const stops = { 'told to stop before it': 'in good order', 'told to stop at once before it': 'at once' } as const

/** What may happen to a process that ends in good order when it is told to. */
export const stopFaults = (owner: Incarnation): readonly string[] => (owner.stop === undefined ? [] : Object.keys(stops))
const drained = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve))
const clock = nodeRuntime()
/** Node looks at rejected promises when nothing is left to do at once. */
const rejectionsLookedAt = (): Promise<void> => new Promise((resolve) => clock.defer(resolve))

/**
 * Time, processes, and everything between them, one step after the other. Nothing runs unless the world lets it: a process
 * goes on when something it asked for is answered or a timer of its fires, and then until it has nothing left to do but wait.
 */
export class World {
  readonly decisions: Decisions
  readonly startMs: number
  nowMs: number
  /** Whose code is running. */
  current: Incarnation | undefined
  /** Whose transaction is open. */
  locked: Incarnation | undefined
  readonly freezeMs: number
  /** Undefined: nobody wants to hear the story. */
  readonly story: Moment[] | undefined
  /** Why the schedule cannot be gone on with. */
  trouble: Error | undefined
  steps = 0
  /** How often a process was killed, or frozen for longer than others wait for it. */
  uncleanEnds = 0
  #calls: PortCall[] = []
  #errands: Errand[] = []
  #timers: Timer[] = []
  #timerOrder = 0
  /** Whose code ran in this step. */
  #acted: Incarnation | undefined

  constructor(options: { decisions: Decisions; startMs: number; freezeMs: number; story: boolean }) {
    this.decisions = options.decisions
    this.startMs = options.startMs
    this.nowMs = options.startMs
    this.freezeMs = options.freezeMs
    this.story = options.story ? [] : undefined
  }

  tell(who: string | Incarnation, what: string, place?: string): void {
    this.story?.push({ atMs: this.nowMs - this.startMs, who: String(who), what, place })
  }

  call(call: PortCall): void {
    if (!call.owner.dead) this.#calls.push(call)
  }

  /** One at a time, in the order in which they were asked for. */
  errand(errand: Errand): void {
    if (!errand.owner.dead) this.#errands.push(errand)
  }

  timer(owner: Incarnation, afterMs: number, fire: () => void): Disposable & { cancel(): void } {
    const timer = new Timer(this.nowMs + Math.max(0, afterMs), this.#timerOrder++, owner, fire)
    if (!owner.dead) this.#timers.push(timer)
    return timer
  }

  crash(owner: Incarnation, when: string): void {
    if (owner.dead) return
    this.tell(owner, `is killed ${when}`)
    this.uncleanEnds++
    this.#remove(owner)
  }

  /** It has ended in good order. */
  end(owner: Incarnation): void {
    if (owner.dead) return
    this.tell(owner, 'has stopped')
    owner.stopped = true
    this.#remove(owner)
  }

  #remove(owner: Incarnation): void {
    owner.dead = true
    this.#calls = this.#calls.filter((call) => call.owner !== owner)
    this.#timers = this.#timers.filter((timer) => timer.owner !== owner)
    this.#errands = this.#errands.filter((errand) => errand.owner !== owner)
    for (const listener of owner.onDeath) listener()
  }

  freeze(owner: Incarnation, when: string): void {
    this.tell(owner, `is frozen ${when}`)
    this.uncleanEnds++
    owner.frozenUntilMs = this.nowMs + this.freezeMs
    for (const listener of owner.onFreeze) listener()
  }

  /**
   * Runs until `ended` says so, asked whenever nothing is left to do at this moment. 'stuck': nobody waits for anything the
   * world knows of. 'endless': it went on for longer than anything should take. `look` comes before `ended`.
   */
  async run(
    ended: () => boolean,
    bounds: { readonly steps: number; readonly ms: number },
    look?: () => Promise<void> | undefined,
  ): Promise<'ended' | 'stuck' | 'endless'> {
    const lastStep = this.steps + bounds.steps
    const lastMs = this.nowMs + bounds.ms
    for (;;) {
      await drained()
      // What others in this process do meanwhile is not done by any process of the world.
      this.#acted = this.current
      this.current = undefined
      await rejectionsLookedAt()
      this.current = this.#acted
      if (this.trouble !== undefined) throw this.trouble
      const errand = this.#errands.shift()
      if (errand !== undefined) {
        await this.#go(errand)
        continue
      }
      if (++this.steps > lastStep) return 'endless'
      const call = this.#nextCall()
      if (call !== undefined) {
        this.#begin(call)
        continue
      }
      if (this.locked === undefined) {
        const looking = look?.()
        if (looking !== undefined) {
          this.current = undefined
          await looking
        }
        if (ended()) return 'ended'
      }
      const timer = this.#nextTimer()
      if (timer === undefined) return 'stuck'
      if (timer.atMs > lastMs) return 'endless'
      this.nowMs = Math.max(this.nowMs, timer.atMs)
      this.current = timer.owner
      timer.fire()
    }
  }

  /** While it waits for the real world, that is what everybody sees. */
  async #go({ owner, run }: Errand): Promise<void> {
    const { current } = this
    this.current = undefined
    const handOver = await run()
    this.current = owner === nobody ? current : owner
    handOver()
  }

  /** A promise was rejected, and nobody waited for it by the end of the step: whose it was cannot go on. False: nobody's. */
  rejected(reason: unknown): boolean {
    const owner = this.#acted
    if (owner === undefined || owner === nobody) return false
    // Whoever is dead does nothing any more.
    if (owner.dead) return true
    this.tell(owner, 'is ended by Node: a promise was rejected, and nobody waits for it')
    const place = reason instanceof Error ? placeOf(reason) : undefined
    this.trouble ??= new UnhandledRejection(
      `${owner} would be ended by Node: a promise was rejected, and nobody waited for it${place === undefined ? '' : ` (${place})`}: ${String(reason)}`,
    )
    return true
  }

  /** Neither asked for something nor about to be woken at this very moment. */
  get quiet(): boolean {
    return this.#calls.length === 0
  }

  #begin(call: PortCall): void {
    const { owner } = call
    const fault = call.faults.length === 0 ? fine : this.decisions.choose(`${owner.name}: ${call.label}`, [fine, ...call.faults])
    this.current = owner
    if (fault === 'frozen before it') {
      this.freeze(owner, `before: ${call.label}`)
      this.#calls.unshift({ ...call, faults: [] })
      return
    }
    const stop = (stops as Readonly<Record<string, (typeof stops)[keyof typeof stops]>>)[fault]
    if (stop !== undefined) owner.stop?.(stop)
    call.begin(stop === undefined ? fault : fine)
  }

  #nextCall(): PortCall | undefined {
    for (let index = 0; index < this.#calls.length; index++) {
      const call = this.#calls[index] as PortCall
      if (call.owner.frozenUntilMs > this.nowMs || (call.locks && this.locked !== undefined)) continue
      this.#calls.splice(index, 1)
      return call
    }
    return undefined
  }

  #nextTimer(): Timer | undefined {
    let next = -1
    let nextMs = Number.POSITIVE_INFINITY
    let nextOrder = 0
    let thawMs = Number.POSITIVE_INFINITY
    for (let index = 0; index < this.#timers.length; index++) {
      const timer = this.#timers[index] as Timer
      if (timer.cancelled) {
        const last = this.#timers.pop() as Timer
        if (index < this.#timers.length) this.#timers[index--] = last
        continue
      }
      const atMs = Math.max(timer.atMs, timer.owner.frozenUntilMs)
      if (atMs > nextMs || (atMs === nextMs && timer.order > nextOrder)) continue
      next = index
      nextMs = atMs
      nextOrder = timer.order
    }
    // A frozen process that only waits for an answer has no timer to wake it.
    for (const { owner } of this.#calls) if (owner.frozenUntilMs > this.nowMs) thawMs = Math.min(thawMs, owner.frozenUntilMs)
    if (thawMs <= nextMs && thawMs !== Number.POSITIVE_INFINITY) {
      return new Timer(thawMs, 0, this.#calls[0]?.owner as Incarnation, () => undefined)
    }
    if (next < 0) return undefined
    const found = this.#timers[next] as Timer
    const last = this.#timers.pop() as Timer
    if (next < this.#timers.length) this.#timers[next] = last
    found.atMs = nextMs
    return found
  }
}
