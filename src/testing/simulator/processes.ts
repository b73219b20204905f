import type { App } from '../../app.ts'
import type { AppBlueprint, Simulable } from '../../app-blueprint.ts'
import type { AnyCall } from '../../call.ts'
import type { ConsumeOptions } from '../../consume/consume-options.ts'
import type { Database } from '../../database/database.ts'
import type { AppEvent } from '../../event.ts'
import type { Message } from '../../message.ts'
import { isThenable } from '../../message.ts'
import { onefold } from '../../onefold.ts'
import type { AnyTopic } from '../../topic.ts'
import type { Operation, PublishOperation } from '../history.ts'
import type { BrokerWorld } from './broker-world.ts'
import type { TransactionLog } from './commit-faults.ts'
import { openTransaction } from './commit-faults.ts'
import type { DeadlyMessages } from './deadly-messages.ts'
import { declaring } from './declarations.ts'
import type { OutsideWorld } from './outside-world.ts'
import { placeOf } from './place-of.ts'
import { telling, tellingTransactions } from './places.ts'
import { SimulatedBroker } from './simulated-broker.ts'
import { simulatedRuntime } from './simulated-runtime.ts'
import type { Subject } from './subject.ts'
import type { Incarnation, World } from './world.ts'
import { fine } from './world.ts'

/** A lease of the simulator's: takeovers come soon, and a frozen process wakes long after its own has passed. */
export const leaseMs = 200

/**
 * The world kills at most as often as it does anything, with whatever message happens to run alone: that is no reason to give one
 * up. One that ends its process whenever it runs is given up after so many times.
 */
const enoughCrashes = 13

/** Between attempts of a message. */
const longestBackoffMs = 50

type Applied = Extract<Operation, { op: 'effect' }>

/** Effects count when their transaction commits. */
export class EffectLog implements TransactionLog {
  readonly #history: Operation[]
  /** By transaction. */
  readonly #open = new Map<unknown, Applied[]>()
  transactions = 0
  asking: { readonly by: Incarnation; readonly publishes: readonly Omit<PublishOperation, 'outcome'>[] } | undefined

  constructor(history: Operation[]) {
    this.#history = history
  }

  begun(of: unknown): void {
    this.#open.set(of, [])
  }

  applied(effect: Applied): void {
    this.#open.get(openTransaction.getStore() ?? effect.worker)?.push(effect)
  }

  committed(of: unknown): void {
    const done = this.#open.get(of) ?? []
    this.#open.delete(of)
    if (done.length === 0) return
    const transaction = `t${++this.transactions}`
    for (const effect of done) this.#history.push({ ...effect, transaction })
  }

  rolledBack(of: unknown): void {
    this.#open.delete(of)
  }

  mark(of: unknown): number {
    return this.#open.get(of)?.length ?? 0
  }

  undoTo(of: unknown, mark: number): void {
    const open = this.#open.get(of)
    if (open !== undefined) open.length = mark
  }

  /** What the producer is waiting to hear of, if that was it. */
  unanswered(self: Incarnation): void {
    if (self !== this.asking?.by) return
    for (const publish of this.asking.publishes) this.#history.push({ ...publish, outcome: 'unknown' })
  }
}

export interface ProcessContext {
  readonly world: World
  readonly subject: Subject
  readonly history: Operation[]
  readonly effects: EffectLog
  readonly outside: OutsideWorld
  readonly deadly: DeadlyMessages
  /** A message waits for a person. */
  readonly attention: (self: Incarnation, event: AppEvent) => void
  readonly lives: readonly Incarnation[]
  readonly broker: BrokerWorld | undefined
}

/** The app of one life of one process: the user's declarations over the world's ports. */
export function appFor(
  context: ProcessContext,
  self: Incarnation,
  database: Database<unknown>,
): {
  readonly app: App<unknown>
  /** What code of the user's gets that calls the app itself. */
  readonly inside: App<unknown>
  readonly module: Simulable
} {
  const { world, subject, lives } = context
  const made = declaring(world, () => subject.make())
  const { options, consumers, schedules } = made.blueprint
  const app = onefold<unknown>({
    database,
    ...(options.source === undefined ? {} : { source: options.source }),
    runtime: simulatedRuntime(world, self, lives),
    ...(context.broker === undefined ? {} : { broker: new SimulatedBroker(context.broker, self) }),
    leaseMs,
    onEvent: (event) => {
      if (event.kind === 'taken-over') world.tell(self, `takes over ${event.topic}/${event.group}`)
      else if (event.kind === 'fenced') world.tell(self, `is fenced: its epoch is old (${event.topic}/${event.group})`)
      else if (event.kind === 'attempt-failed' || event.kind === 'attention') world.tell(self, event.message)
      if (event.kind === 'attention') context.attention(self, event)
    },
  })
  for (const consumer of consumers) {
    const { topic, options: consume } = consumer
    // What waits for hours in vain waits no better than for milliseconds, but in thousands of steps.
    const { backoffMs = longestBackoffMs } = consume
    const patient = {
      ...consume,
      maxCrashes: enoughCrashes,
      backoffMs: Math.min(backoffMs, longestBackoffMs),
      maxBackoffMs: Math.min(consume.maxBackoffMs ?? longestBackoffMs, longestBackoffMs),
    }
    declaring(world, () => app.consume(topic as never, simulated(context, self, topic, patient, consumer) as never))
  }
  for (const schedule of schedules) app.schedule(schedule.topic, schedule.options)
  return { app, inside: tellingTransactions(world, self, app), module: made.app }
}

function simulated(
  context: ProcessContext,
  self: Incarnation,
  topic: AnyTopic,
  options: ConsumeOptions<unknown, unknown>,
  consumer: AppBlueprint['consumers'][number],
): ConsumeOptions<unknown, unknown> {
  const { world, history, effects } = context
  const of = { topic: topic.name, group: options.group }
  const { worker } = self
  const handler = `the handler of ${of.topic}/${of.group}`
  /** False: that was the end of the process. */
  const begins = (message: Message<unknown>, attempt: number): boolean => {
    if (world.story !== undefined) {
      const again = attempt > 1 ? ` (attempt ${attempt})` : ''
      world.tell(self, `runs ${handler} for ${message.id}${again}`, placeOf(consumer.declared))
    }
    // At most once: it is not run again, and nobody is told. 'skip': others pass it, and what that does to the user's data is no mistake.
    const ends =
      options.semantics !== 'at-most-once' &&
      options.onExhausted !== 'skip' &&
      context.deadly.kills({ ...of, id: message.id }, () => {
        const at = `${self.name}: ${handler} for ${message.id}`
        return world.decisions.choose(at, [fine, 'ends its process whenever it runs']) !== fine
      })
    if (ends) world.crash(self, `by ${handler} for ${message.id}`)
    return !ends
  }
  const effect = (message: Message<unknown>, attempt: number): Applied => ({
    op: 'effect',
    ...of,
    identity: message.id,
    outcome: 'happened',
    attempt,
    worker,
  })
  if (options.receive !== undefined) {
    const { receive } = options
    return {
      ...options,
      receive(data: unknown, receiveContext: Parameters<typeof receive>[1]) {
        const { message, attempt } = receiveContext
        if (!begins(message, attempt)) return never()
        return after(receive(data, receiveContext), () => void history.push(effect(message, attempt)))
      },
    }
  }
  if (options.applyBatch !== undefined) {
    const { applyBatch } = options
    return {
      ...options,
      applyBatch(items, batchContext) {
        for (const { message, attempt } of items) if (!begins(message, attempt)) return never()
        return after(applyBatch(items, telling(world, self, batchContext)), () => {
          for (const { message, attempt } of items) effects.applied(effect(message, attempt))
        })
      },
    }
  }
  const { apply } = options
  const calls = options.calls as Readonly<Record<string, AnyCall>> | undefined
  return {
    ...options,
    ...(calls === undefined
      ? {}
      : {
          calls: Object.fromEntries(
            Object.entries(calls).map(([name, call]) => [
              name,
              context.outside.simulate(call, name, self, (data, token) => ({
                ...of,
                identity: idOf(context.subject, topic, data) ?? token,
              })),
            ]),
          ),
        }),
    apply(data: unknown, applyContext: Parameters<typeof apply>[1]) {
      const { message, attempt } = applyContext
      if (!begins(message, attempt)) return never()
      return after(apply(data, telling(world, self, applyContext)), () => effects.applied(effect(message, attempt)))
    },
  } as ConsumeOptions<unknown, unknown>
}

/** Of a message whose call is asked for: a call sees the data alone. */
function idOf(subject: Subject, topic: AnyTopic, data: unknown): string | undefined {
  if (topic.id !== undefined) return topic.id(data)
  const json = JSON.stringify(data)
  return subject.workload.find((item) => item.topic.name === topic.name && JSON.stringify(item.data) === json)?.id
}

function after(result: unknown, then: () => void): unknown {
  if (isThenable(result)) {
    return result.then((value) => {
      then()
      return value
    })
  }
  then()
  return result
}

/** Whoever is dead does nothing any more, not even return. One for each: what waits for a promise lives as long as that does. */
const never = (): Promise<never> => new Promise<never>(() => undefined)
