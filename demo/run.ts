import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../src/testing/index.ts'
import type { Findings } from './audit.ts'
import type { Place } from './database.ts'
import type { WorkerView } from './fleet.ts'
import { Fleet } from './fleet.ts'
import type { DemoOptions, TopologyName } from './options.ts'
import { openPostgresTables } from './postgres-tables.ts'
import { Sender } from './sender.ts'
import type { Tables } from './tables.ts'
import { openSqliteTables } from './tables.ts'
import { appFile, openApp } from './topology.ts'
import { planWebhooks } from './webhooks.ts'
import type { KillPlace } from './worker-state.ts'

/** The audit of one topology: counters of the run, and what the demo's own tables say. */
export interface Audit extends Omit<Findings, 'examples'> {
  readonly messages: number
  /** Handed to a handler, or recognised as a repeat before it. Both groups. */
  readonly deliveries: number
  /** Publishes that were answered 'duplicate'. */
  readonly duplicatesPublished: number
  /** Deliveries beyond the first of a message to a group: after a kill, or because the broker did it again. */
  readonly redelivered: number
  /** Of those, recognised by Onefold and not handed to the handler. */
  readonly suppressedByInbox: number
  /** SIGKILLs that hit a worker with work in its hands. */
  readonly kills: number
  readonly killsInsideTransaction: number
  readonly killsAfterCommit: number
  /** SIGKILLs of the sending process, which then sends everything again. */
  readonly publisherKills: number
  /** Messages per second, kills and restarts included. */
  readonly throughput: number
  readonly seconds: number
}

export interface RunResult {
  readonly topology: TopologyName
  readonly audit: Audit
  readonly examples: readonly string[]
  /** Kills by the last named point the worker had reached. */
  readonly killPoints: Readonly<Record<string, number>>
}

/** What the screen shows while it runs. */
export interface Progress {
  readonly topology: TopologyName
  readonly phase: 'storm' | 'calm' | 'audit'
  readonly seconds: number
  readonly messages: number
  readonly publishedUpTo: number
  readonly duplicatesPublished: number
  readonly events: number
  readonly summaries: number
  readonly kills: number
  readonly killsInsideTransaction: number
  readonly killsAfterCommit: number
  readonly publisherKills: number
  readonly workers: readonly WorkerView[]
}

/** The run could not be brought to its end; the message says what was still open. */
export class DemoFailure extends Error {}

const limits = { stallMs: 3_000, calmMs: 60_000, stopMs: 20_000, stormMs: 15 * 60_000 }

/** Where a worker is asked to kill itself: inside the transaction, or after the commit and before the broker is told. */
const selfKills: Readonly<Record<'inside-transaction' | 'after-commit', readonly string[]>> = {
  'inside-transaction': [
    'consume:begun',
    'consume:guarded',
    'consume:claimed',
    'consume:applied',
    'consume:checkpointed',
    'demo:begun',
  ],
  'after-commit': ['consume:committed', 'demo:committed'],
}

export class Run {
  readonly #options: DemoOptions
  readonly #topology: TopologyName
  readonly #place: Place
  readonly #fleet: Fleet
  readonly #sender: Sender
  readonly #random: () => number
  readonly #targetKills: number
  #startedAt = 0
  #phase: Progress['phase'] = 'storm'
  /** As last read. */
  #rows = { events: 0, summaries: 0 }

  /** `dir`: for files of its processes. */
  constructor(topology: TopologyName, options: DemoOptions, place: Place, dir: string) {
    this.#options = options
    this.#topology = topology
    this.#place = place
    this.#random = seededRandom(options.seed, topology, 'kills')
    this.#targetKills = options.killEveryMs === 0 ? 0 : Math.max(4, Math.min(24, Math.round(options.messages / 400)))
    const shared = { topology, place, seed: options.seed }
    this.#fleet = new Fleet({ ...shared, dir, semantics: options.semantics }, options.workers)
    this.#sender = new Sender(
      { ...shared, messages: options.messages, duplicates: options.duplicates },
      options.killEveryMs === 0 ? [] : [0.3 * options.messages, 0.65 * options.messages],
    )
  }

  async toItsEnd(): Promise<RunResult> {
    const sent = planWebhooks(this.#options.messages, this.#options.seed)
    const place = this.#place
    const tables = place.engine === 'sqlite' ? openSqliteTables(appFile(place.dir), sent) : await openPostgresTables(place, sent)
    try {
      return await this.#runOn(tables)
    } finally {
      await tables.close()
    }
  }

  async #runOn(tables: Tables): Promise<RunResult> {
    this.#startedAt = performance.now()
    this.#fleet.start()
    this.#sender.start()
    await this.#storm(tables)
    const seconds = this.#seconds()
    this.#phase = 'calm'
    const suppressed = await this.#calm(tables)
    await this.#fleet.stop(limits.stopMs)
    this.#failOnAccident()
    this.#phase = 'audit'
    return this.#result(await tables.audit(), await tables.counts(), seconds, suppressed)
  }

  /** Ends all processes at once. */
  destroy(): void {
    this.#fleet.destroy()
    this.#sender.destroy()
  }

  progress(): Progress {
    return {
      topology: this.#topology,
      phase: this.#phase,
      seconds: this.#seconds(),
      messages: this.#options.messages,
      publishedUpTo: this.#sender.upTo,
      duplicatesPublished: this.#sender.duplicates,
      ...this.#rows,
      ...this.#killCounts(),
      workers: this.#fleet.views(),
    }
  }

  /** Everything at once: sending, applying, killing; until all has landed or nothing moves any more. */
  async #storm(tables: Tables): Promise<void> {
    let over = false
    const killing = this.#killUntil(() => over)
    try {
      let last = { events: 0, summaries: 0 }
      let movedAt = performance.now()
      while (this.#seconds() * 1_000 < limits.stormMs) {
        await sleep(50)
        this.#failOnAccident()
        const counts = await tables.counts()
        this.#rows = counts
        if (counts.events !== last.events || counts.summaries !== last.summaries) movedAt = performance.now()
        last = counts
        if (
          this.#sender.done &&
          ((await tables.complete(this.#options.messages)) || performance.now() - movedAt > limits.stallMs)
        )
          return
      }
      throw new DemoFailure(
        `after ${limits.stormMs / 60_000} minutes the messages were still not applied: ${describe(this.progress())}`,
      )
    } finally {
      over = true
      await killing
    }
  }

  /**
   * Kills every now and then, and lets the sender go on as kills are made: a machine may be fast enough to apply everything
   * before twenty processes have died. Where no kill comes about for a while, it is let go on as well.
   */
  async #killUntil(over: () => boolean): Promise<void> {
    const { messages, killEveryMs, workers } = this.#options
    if (this.#targetKills === 0) this.#sender.allow(messages)
    let pauseMs = killEveryMs * (0.5 + this.#random())
    let killedAt = performance.now()
    const ahead = Math.max(1, this.#targetKills / 8)
    let slices = ahead
    while (!over() && this.#targetKills > 0) {
      await sleep(10)
      const { kills } = this.#killCounts()
      this.#sender.allow(Math.ceil((messages * (kills + slices)) / (this.#targetKills + ahead)))
      const waitedMs = performance.now() - killedAt
      if (waitedMs > pauseMs + 3_000) {
        slices++
        killedAt = performance.now()
      }
      // Somebody must be left to do the work, however long this machine takes to start a process.
      if (waitedMs < pauseMs || this.#fleet.ready < Math.max(1, workers - 1) || over()) continue
      if (!(await this.#killOne())) continue
      killedAt = performance.now()
      // When there have been enough, they become rarer, so that it ends.
      pauseMs = killEveryMs * (0.5 + this.#random()) * 1.2 ** Math.max(0, kills - this.#targetKills)
    }
  }

  async #killOne(): Promise<boolean> {
    const dice = this.#random()
    if (dice < 0.3) return this.#fleet.killAtWork(this.#random)
    const points = selfKills[dice < 0.65 ? 'inside-transaction' : 'after-commit'].filter(
      (point) => point.startsWith('demo:') === (this.#options.semantics !== 'effectively-once'),
    )
    const point = points[Math.floor(this.#random() * points.length)] ?? 'consume:committed'
    return this.#fleet.killAtPoint(point, Math.floor(this.#random() * 4), this.#random, 500)
  }

  /** No more kills: waits until nothing is left to do, by what the workers and the app's status say. Answers the repeats suppressed. */
  async #calm(tables: Tables): Promise<number> {
    const { app, close } = openApp({ topology: this.#topology, place: this.#place, seed: this.#options.seed })
    try {
      const deadline = performance.now() + limits.calmMs
      let open = ''
      let before = ''
      while (performance.now() < deadline) {
        this.#failOnAccident()
        const idle = this.#fleet.ready === this.#options.workers && (await this.#fleet.idle(5_000))
        const status = await app.status()
        open = idle ? '' : 'workers that are not idle'
        for (const group of status.groups) {
          if ((group.lag ?? 0) + group.parked + group.attention === 0) continue
          open += `; group ${group.group}: lag ${group.lag}, parked ${group.parked}, waiting for a person ${group.attention}`
        }
        if (status.outbox.unsent > 0) open += `; outbox: ${status.outbox.unsent} unsent`
        const now = JSON.stringify(await tables.counts())
        if (open === '' && now === before) return status.groups.reduce((sum, { suppressed }) => sum + suppressed, 0)
        before = now
        await sleep(100)
      }
      throw new DemoFailure(
        `${limits.calmMs / 1_000} s after the last kill there was still work open: ${open}. ${describe(this.progress())}`,
      )
    } finally {
      await app.stop()
      await close()
    }
  }

  #result(
    { examples, ...findings }: Findings,
    { events, summaries }: Pick<Progress, 'events' | 'summaries'>,
    seconds: number,
    suppressed: number,
  ): RunResult {
    const { messages } = this.#options
    const deliveries = this.#fleet.handled + suppressed
    const killPoints: Record<string, number> = {}
    for (const { point } of this.#fleet.kills) killPoints[point] = (killPoints[point] ?? 0) + 1
    return {
      topology: this.#topology,
      audit: {
        messages,
        deliveries,
        duplicatesPublished: this.#sender.duplicates,
        redelivered: Math.max(0, deliveries - (events - findings.appliedTwice + summaries)),
        suppressedByInbox: suppressed,
        ...this.#killCounts(),
        ...findings,
        throughput: Math.round(messages / seconds),
        seconds: Math.round(seconds * 10) / 10,
      },
      examples,
      killPoints,
    }
  }

  #killCounts() {
    const at = (place: KillPlace): number => this.#fleet.kills.filter((kill) => kill.place === place).length
    return {
      kills: this.#fleet.kills.length - at('idle'),
      killsInsideTransaction: at('inside-transaction'),
      killsAfterCommit: at('after-commit'),
      publisherKills: this.#sender.kills,
    }
  }

  #failOnAccident(): void {
    const accident = [...this.#fleet.accidents, ...this.#sender.accidents][0]
    if (accident !== undefined) throw new DemoFailure(accident)
  }

  #seconds(): number {
    return this.#startedAt === 0 ? 0 : (performance.now() - this.#startedAt) / 1_000
  }
}

function describe({ messages, publishedUpTo, events, summaries }: Progress): string {
  return `Published ${publishedUpTo} of ${messages}, rows of events ${events}, of summaries ${summaries}.`
}
