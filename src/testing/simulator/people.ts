import type { App } from '../../app.ts'
import type { AppEvent } from '../../event.ts'
import type { Operation } from '../history.ts'
import type { Conditions } from './conditions.ts'
import type { DeadlyMessages } from './deadly-messages.ts'
import { consumersOf } from './declarations.ts'
import type { OutsideWorld } from './outside-world.ts'
import { endedProcess, settleUnknown, simulated } from './person.ts'
import type { Subject } from './subject.ts'
import type { Incarnation, World } from './world.ts'
import { fine } from './world.ts'

export interface PeopleOptions {
  readonly world: World
  readonly subject: Subject
  readonly history: Operation[]
  readonly outside: () => OutsideWorld
  readonly conditions: () => Conditions
  readonly deadly: DeadlyMessages
  /** One more person, with an app of their own that consumes nothing. */
  readonly begin: (act: (self: Incarnation, app: App<unknown>) => Promise<void>) => void
  readonly endProcess: (pid: number) => void
}

const redriven = 'redriven at once'
const redrivenTwice = 'redriven by two people at once'
const edited = 'edited at once'

/** Those who look at what waits for a person: some as soon as it does, and one when all is quiet, until nothing is left to settle. */
export class People {
  readonly #options: PeopleOptions
  /** Groups in which a message that waits for a person holds up nobody. */
  readonly #skips: ReadonlySet<string>
  readonly #seen = new Set<string>()
  readonly wrongs: string[] = []
  /** How often somebody has begun to do something. */
  acts = 0
  #acting = 0

  constructor(options: PeopleOptions) {
    this.#options = options
    const skipping = consumersOf(options.subject).filter((one) => one.options.onExhausted === 'skip')
    this.#skips = new Set(skipping.map((one) => `${one.topic.name}/${one.options.group}`))
  }

  get atWork(): boolean {
    return this.#acting > 0
  }

  /** A message has come to wait: somebody may be quick. What the world itself has brought about is seen to when all is quiet. */
  seen(by: Incarnation, { topic = '', group = '', id = '', message, error }: AppEvent): void {
    const { world } = this.#options
    const name = `${topic}/${group} ${id}`
    const why = (error as Error | undefined)?.message ?? message
    if (endedProcess.test(why)) this.#options.deadly.givenUp({ topic, group, id })
    const known = ['CALL_UNKNOWN', 'MESSAGE_LATE', 'ID_REUSED'].some(
      (code) => (error as { code?: unknown } | undefined)?.code === code,
    )
    if (known || this.#seen.has(name) || endedProcess.test(why) || why.includes(simulated) || why.includes('CALL_')) return
    this.#seen.add(name)
    const better = this.#edited(topic, id)
    const chosen = this.#chosen(`${by.name}: a dead letter of ${topic}/${group} for ${id}`, name, better !== undefined)
    if (chosen === fine) return
    const count = chosen === redrivenTwice ? 2 : 1
    const done = new Set<number>()
    for (let number = 1; number <= count; number++)
      this.#act(async (self, app) => {
        const item = (await app.attention.list()).find(
          (one) => one.topic === topic && one.group === group && one.envelope.id === id,
        )
        if (item === undefined) return
        const actor = { by: `somebody quick, ${number}` }
        const act = chosen === edited ? app.attention.edit(item.id, better, actor) : app.attention.redrive(item.id, actor)
        if (!(await act)) return
        done.add(number)
        if (done.size > 1) this.wrongs.push(`Two people are told that each of them has redriven ${name}.`)
        world.tell(self, `${chosen === edited ? 'edits' : 'redrives'} ${id}`)
        const of = { topic, group, identity: id }
        this.#options.history.push({ op: 'attention', ...of, kind: item.kind })
        this.#options.history.push({
          op: 'person',
          action: chosen === edited ? 'edit' : 'redrive',
          outcome: 'happened',
          ...actor,
          ...of,
        })
      })
  }

  /** When all is quiet: settles what is unknown, and has attempted again what the world has kept from being applied. */
  settleAll(): void {
    const { world, outside, history, deadly, endProcess } = this.#options
    this.#act((self, app) =>
      settleUnknown(app, outside(), history, {
        tell: (what) => world.tell(self, what),
        accused: (message) => deadly.accused(message),
        skips: (topic, group) => this.#skips.has(`${topic}/${group}`),
        overtaken: (why) => {
          this.#options.conditions().incomparable = why
        },
        edited: (topic, group, id) => {
          const better = this.#edited(topic, id)
          if (better === undefined) return undefined
          const at = `person: what was refused in ${topic}/${group} for ${id}`
          if (world.decisions.choose(at, [fine, 'edited']) === fine) return undefined
          this.#options.conditions().incomparable = 'a person has edited a message'
          return better
        },
        endProcess,
      }),
    )
  }

  #act(act: (self: Incarnation, app: App<unknown>) => Promise<void>): void {
    this.#acting++
    this.acts++
    this.#options.begin(async (self, app) => {
      await act(self, app)
      this.#acting--
    })
  }

  /** Whoever redrives may change the end: it is compared with that of a run in which they do the same. */
  #chosen(at: string, name: string, editable: boolean): string {
    const conditions = this.#options.conditions()
    const options = [redriven, redrivenTwice, ...(editable ? [edited] : [])]
    if (conditions.given) return options.find((option) => conditions.has(`${option}: ${name}`)) ?? fine
    const chosen = this.#options.world.decisions.choose(at, [fine, ...options])
    if (chosen !== fine) conditions.add(`${chosen}: ${name}`)
    return chosen
  }

  #edited(topic: string, id: string): unknown {
    const item = this.#options.subject.workload.find(
      (one) => one.topic.name === topic && (one.topic.id?.(one.data as never) ?? one.id) === id && one.edited !== undefined,
    )
    return item?.edited
  }
}
