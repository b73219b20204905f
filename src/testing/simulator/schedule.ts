import type { App } from '../../app.ts'
import type { Simulable } from '../../app-blueprint.ts'
import { standIn } from '../../app-blueprint.ts'
import { isOnefoldError } from '../../errors.ts'
import type { AppEvent } from '../../event.ts'
import type { Operation } from '../history.ts'
import { bookkeeping } from './bookkeeping.ts'
import { BrokerWorld } from './broker-world.ts'
import type { ReadingWay } from './commit-faults.ts'
import { readingWays } from './commit-faults.ts'
import { Conditions } from './conditions.ts'
import { DatabasePorts } from './database-ports.ts'
import { DeadlyMessages } from './deadly-messages.ts'
import type { Decision, Decisions, Deviations } from './decisions.ts'
import { consumersOf } from './declarations.ts'
import { SimulationEscape, UnhandledRejection } from './escape.ts'
import type { FinalState } from './final-state.ts'
import { finalState } from './final-state.ts'
import { judged } from './judged-histories.ts'
import { IdleWatch, OrderlyStops } from './orderly-ends.ts'
import { OutsideWorld } from './outside-world.ts'
import { People } from './people.ts'
import { appFor, EffectLog, leaseMs } from './processes.ts'
import type { PublishingWay } from './producer.ts'
import { Producer, publishingWays } from './producer.ts'
import type { Subject } from './subject.ts'
import { surroundWith } from './surroundings.ts'
import type { Moment } from './world.ts'
import { Incarnation, nobody, World } from './world.ts'
import type { Published, WorldDatabase } from './world-database.ts'

/** After this much simulated time, and so many steps, without an end: something waits for ever. */
const bounds = { steps: 60_000, ms: 3_600_000 }
/** A killed process is started again after so long. */
const restartMs = 5
const startMs = Date.UTC(2026, 0, 1)

export interface Violated {
  /** Which rule: a checker, an invariant of the user's, or 'same end'. */
  readonly rule: string
  readonly what: string
}

export interface ScheduleResult {
  readonly trail: readonly Decision[]
  readonly deviations: Deviations
  readonly violations: readonly Violated[]
  readonly history: readonly Operation[]
  readonly state: FinalState
  readonly conditions: Conditions
  readonly story: readonly Moment[]
  readonly steps: number
}

export interface ScheduleOptions {
  readonly subject: Subject
  readonly database: WorldDatabase
  readonly decisions: Decisions
  readonly story?: boolean
  /** Milliseconds by which this run's clock is off: what depends on it shows. */
  readonly clockOffMs?: number
  /** After so many it does not come to an end. */
  readonly maxSteps?: number
  /** How the world is, and nothing else may come up. Undefined: decisions say. */
  readonly conditions?: Conditions
  /** What the end is compared with, unless there are conditions; undefined: with nothing. */
  readonly expected?: { readonly ignored: ReadonlySet<string>; readonly differs: (state: FinalState) => string | undefined }
}

/** Runs one schedule from an empty database to its quiet end, and judges it. */
export async function runSchedule(options: ScheduleOptions): Promise<ScheduleResult> {
  const { subject, database, decisions } = options
  await database.reset()
  subject.reset?.()
  const world = new World({
    decisions,
    startMs: startMs + (options.clockOffMs ?? 0),
    freezeMs: leaseMs * 4,
    story: options.story === true,
  })
  const run = new Run(world, options)
  surroundWith(world)
  let ended: 'ended' | 'stuck' | 'endless' = 'ended'
  let trouble: unknown
  try {
    run.start()
    ended = await world.run(
      () => run.ended,
      { ...bounds, steps: Math.min(bounds.steps, options.maxSteps ?? bounds.steps) },
      () => run.look(),
    )
  } catch (error) {
    trouble = error
  } finally {
    run.end()
    surroundWith(undefined)
  }
  if (trouble instanceof SimulationEscape) throw trouble
  const published = await run.published()
  const state = await finalState(database, { published, outside: run.outside }, options.expected?.ignored ?? new Set())
  const violations = trouble === undefined ? await run.judge(ended, state, published) : [troubled(trouble)]
  return {
    trail: decisions.trail,
    deviations: decisions.deviations(),
    violations,
    history: run.history,
    state,
    conditions: run.conditions,
    story: world.story ?? [],
    steps: world.steps,
  }
}

function troubled(trouble: unknown): Violated {
  return trouble instanceof UnhandledRejection
    ? { rule: 'no unhandled rejection', what: trouble.message }
    : { rule: 'no error', what: String(trouble) }
}

class Run {
  readonly history: Operation[] = []
  readonly outside: OutsideWorld
  readonly conditions: Conditions
  readonly #world: World
  readonly #options: ScheduleOptions
  readonly #lives: Incarnation[] = []
  readonly #apps = new Map<Incarnation, App<unknown>>()
  readonly #ports: DatabasePorts
  readonly #effects: EffectLog
  readonly #producer: Producer
  readonly #stops: OrderlyStops
  readonly #people: People
  /** Undefined: nobody asks whether the workers are idle. */
  readonly #idle: IdleWatch | undefined
  readonly #stoodFor: Simulable[] = []
  readonly #deadly = new DeadlyMessages()
  readonly #effectivelyOnce = new Set<string>()
  #openTwice: string | undefined
  readonly #partitions: number
  readonly #reads: ReadingWay
  readonly #broker: BrokerWorld | undefined

  constructor(world: World, options: ScheduleOptions) {
    const { subject } = options
    this.#world = world
    this.#options = options
    this.#effects = new EffectLog(this.history)
    this.#stops = new OrderlyStops(world, options.database)
    // Of more, which of several that wait for the same lock gets it would not be for the world to say.
    const ways = options.database.together ? ['one at a time', 'two at a time'] : []
    const two = ways.length > 0 && options.decisions.choose('the world: transactions', ways) !== ways[0]
    this.#ports = new DatabasePorts(world, options.database, two ? 2 : 1)
    // One worker at work and one in wait show most; two at work at the same time show the rest, and take twice the steps.
    this.#partitions = options.decisions.choose('the world: partitions of a topic', ['one', 'two']) === 'one' ? 1 : 2
    this.#broker =
      subject.broker === undefined
        ? undefined
        : new BrokerWorld(world, subject.broker, this.#partitions, {
            // What a producer may still publish again would come with a later time, and rightly be taken for another message.
            mayForget: () => this.#producer.done,
            forget: ({ topic, group }) => this.#ports.forget(topic, group),
          })
    const way = options.decisions.choose('the world: how messages are published', publishingWays) as PublishingWay
    this.#producer = new Producer({
      world,
      workload: subject.workload,
      history: this.history,
      effects: this.#effects,
      way,
      note: (tx, fact) => options.database.note(tx, fact),
      keepsWaiting: (topic, id) => options.database.keepsWaiting(topic, id),
      forget: (topic) => this.#ports.forget(topic, ''),
    })
    // What a broker elsewhere has in store for others, a worker cannot know.
    const watched = subject.broker === undefined ? ['somebody waits until they are'] : []
    const asked = options.decisions.choose('the world: whether workers are idle', ['nobody asks', ...watched])
    this.#reads = options.decisions.choose('the world: reads', readingWays) as ReadingWay
    this.#people = new People({
      world,
      subject,
      history: this.history,
      outside: () => this.outside,
      conditions: () => this.conditions,
      deadly: this.#deadly,
      begin: (act) => this.#life('person', (self, app) => void act(self, app).catch((error: unknown) => this.#cannotGoOn(error))),
      endProcess: (pid) => {
        const owner = this.#lives.find((life) => life.pid === pid)
        if (owner !== undefined) world.crash(owner, 'by the person, to be sure of it')
      },
    })
    this.#idle =
      asked === 'nobody asks'
        ? undefined
        : new IdleWatch(world, {
            ready: () => this.#producer.done,
            left: () => options.database.leftNow(),
            acts: () => this.#people.acts,
          })
    this.conditions = options.conditions ?? new Conditions()
    this.outside = new OutsideWorld(world, this.history, {
      models: subject.outside,
      honoursTokens: subject.honoursTokens,
      conditions: this.conditions,
    })
  }

  start(): void {
    const { subject } = this.#options
    for (const { topic, options } of consumersOf(subject)) {
      this.history.push({ op: 'consumer', topic: topic.name, group: options.group })
      if (options.receive === undefined) this.#effectivelyOnce.add(`${topic.name}/${options.group}`)
    }
    for (let number = 1; number <= subject.workers; number++) this.#startWorker(`worker ${number}`)
    this.#startProducer()
  }

  #life(name: string, started: (self: Incarnation, app: App<unknown>) => void): void {
    const { subject } = this.#options
    const self = new Incarnation(name, 1 + this.#lives.filter((life) => life.name === name).length, this.#lives.length + 1)
    this.#lives.push(self)
    const database = this.#ports.open({
      world: this.#world,
      self,
      log: this.#effects,
      // A person clicks again until it is done; nothing is shown by killing somebody who looks on.
      everyCommit: subject.everyCommit && name !== 'person',
      reads: name === 'person' ? undefined : this.#reads,
      maxPartitions: this.#partitions,
    })
    const context = {
      world: this.#world,
      subject,
      history: this.history,
      effects: this.#effects,
      outside: this.outside,
      deadly: this.#deadly,
      attention: (by: Incarnation, event: AppEvent) => this.#people.seen(by, event),
      lives: this.#lives,
      broker: this.#broker,
    }
    self.onDeath.push(() => {
      this.history.push({ op: 'fault', fault: self.stopped ? 'stopped' : 'killed', ends: `${self.name}/${self.life}` })
      this.#world.timer(nobody, restartMs, () => this.#life(name, started))
    })
    this.#world.current = self
    if (self.life > 1) this.#world.tell(self, 'starts again')
    const { app, inside, module } = appFor(context, self, database)
    // Not `x.y = () => …`, here and elsewhere: V8 takes that for a method and allocates it among what is old, where it would keep this
    // life, and all it knows, until the next full collection.
    const running = (): App<unknown> => this.#running()
    module[standIn] = running
    this.#stoodFor.push(module)
    this.#apps.set(self, inside)
    started(self, app)
  }

  #running(): App<unknown> {
    const { current } = this.#world
    const app = current === undefined ? undefined : this.#apps.get(current)
    if (app === undefined) throw new SimulationEscape('what runs outside every simulated process')
    return app
  }

  #startWorker(name: string): void {
    this.#life(name, (self, app) => {
      const stop: Incarnation['stop'] = (how) => this.#stops.begin(self, app, how)
      self.stop = stop
      app.start().then(
        () => void this.#idle?.ask(self, app),
        (error: unknown) => {
          if (self.stop === undefined) return
          // As a program that ends when it cannot start, and is started again.
          if (isOnefoldError(error) && error.retry !== 'never')
            this.#world.crash(self, `by itself, for it cannot start: ${error.code}`)
          else this.#cannotGoOn(error)
        },
      )
    })
  }

  #startProducer(): void {
    this.#life('producer', (self, app) => {
      this.#producer.run(self, app).catch((error: unknown) => this.#cannotGoOn(error))
    })
  }

  #cannotGoOn(error: unknown): void {
    this.#world.trouble ??= error instanceof Error ? error : new Error(String(error))
  }

  look(): Promise<void> | undefined {
    return this.#producer.done ? this.#options.database.look() : undefined
  }

  /** Asked when nobody has anything to do at this moment: is there anything left that anybody should do? */
  get ended(): boolean {
    const { database } = this.#options
    if (!this.#producer.done || this.#stops.underWay || this.#ports.busy) return false
    const world = this.#world
    if (this.#lives.some((life) => !life.dead && life.frozenUntilMs > world.nowMs)) return false
    if (this.#lives.some((life) => life.dead && !this.#lives.some((later) => later.name === life.name && later.life > life.life)))
      return false
    if (this.outside.pending > 0 || this.#left() !== '') return false
    this.#openTwice ??= database.openTwice()
    if (this.#people.atWork) return false
    if (database.needsPerson) {
      this.#people.settleAll()
      return false
    }
    return this.#idle?.seenBy(this.#lives) ?? true
  }

  #left(): string {
    return [this.#options.database.whatIsLeft(), this.#broker?.whatIsLeft() ?? ''].filter((what) => what !== '').join(', ')
  }

  /** Everything that was published, wherever messages travel. */
  async published(): Promise<readonly Published[]> {
    if (this.#broker === undefined) return await this.#options.database.published()
    // Some brokers hold a message twice: what counts is that it is there.
    const all = [...this.#broker.messages()].map(({ topic, envelope: { id, key, json } }) => ({
      topic,
      id,
      key: key ?? null,
      data: json,
    }))
    return [...new Map(all.map((one) => [`${one.topic} ${one.id}`, one])).values()]
  }

  end(): void {
    for (const life of this.#lives) life.dead = true
    for (const module of this.#stoodFor) module[standIn] = undefined
    this.#ports.close()
  }

  async judge(ended: 'ended' | 'stuck' | 'endless', state: FinalState, published: readonly Published[]): Promise<Violated[]> {
    const { subject, database, expected } = this.#options
    if (ended !== 'ended') {
      const left = this.#left()
      const { steps, nowMs, startMs } = this.#world
      return [
        {
          rule: 'liveness',
          what:
            ended === 'stuck'
              ? `Nothing goes on any more, and there is work left (${left}): some handler waits for what the simulator does not know, a timer of its own or the network.`
              : `It does not come to an end: after ${steps} steps and ${Math.round((nowMs - startMs) / 1_000)} s of simulated time there is work left (${left}).`,
        },
      ]
    }
    await database.addTo(this.history, published)
    const violations: Violated[] = judged(subject, this.history).map(({ checker, what }) => ({
      rule: checker,
      what,
    }))
    const wrongs = [...(await this.#stops.wrongs()), ...(this.#idle?.wrongs ?? [])]
    violations.push(...wrongs.map((what) => ({ rule: 'stop and idle', what })))
    violations.push(...this.#deadly.wrongs(await database.behind()).map((what) => ({ rule: 'attention', what })))
    if (this.#openTwice !== undefined) violations.push({ rule: 'attention', what: this.#openTwice })
    violations.push(...this.outside.wrongs.map((what) => ({ rule: 'call-token', what })))
    violations.push(...this.#people.wrongs.map((what) => ({ rule: 'attention', what })))
    const kept = await bookkeeping(database, this.history, this.#effectivelyOnce)
    violations.push(...kept.map((what) => ({ rule: 'bookkeeping', what })))
    for (const [name, invariant] of subject.invariants) {
      const wrong = await database.judge(invariant)
      if (wrong !== undefined) violations.push({ rule: name, what: wrong })
    }
    const { conditions } = this
    const plain = conditions.list().length === 0 && conditions.incomparable === undefined
    const differs = plain ? expected?.differs(state) : undefined
    if (differs !== undefined) violations.push({ rule: 'same end', what: differs })
    return violations
  }
}
