/**
 * A model that keeps every promise, with everything that may go wrong around it: publishes without an answer, repeats, crashes,
 * takeovers, failing handlers, calls in doubt, persons, erased keys. Its histories are what no checker may accuse.
 */
import type { CheckOptions, EffectOperation, MessageOfGroup, Operation, PublishOperation } from '../../../src/testing/index.ts'
import { seededRandom } from '../../../src/testing/index.ts'

export interface Shape {
  readonly seed: number
  readonly messages: number
  readonly order: 'key' | 'total' | 'causal'
  readonly onExhausted: 'hold' | 'skip'
  readonly end: 'none' | 'early' | 'quiet' | 'quiet, waiting told'
}

export const optionsOf = ({ order, onExhausted }: Pick<Shape, 'order' | 'onExhausted'>): CheckOptions => ({
  promises: {
    order: { ledger: order, audit: order, board: order === 'causal' ? 'key' : order },
    onExhausted,
    calls: { pay: { rule: 'repeat' }, sms: { rule: 'ask-person' } },
    conservation: (state, { of }) => {
      if (of !== 'balances') return undefined
      const sum = Object.values(state as Record<string, number>).reduce((total, each) => total + each, 0)
      return sum === 0 ? undefined : `the sum is ${sum}`
    },
  },
})

interface Logged {
  readonly identity: string
  readonly key: string
  readonly body: string
  readonly number: number
  erased: boolean
}

interface Producer {
  name: string
  order: number
  /** Publishes without an answer, to be made again. */
  readonly doubtful: PublishOperation[]
  /** An operation whose receipt is slow. */
  slow: PublishOperation | undefined
}

interface Progress {
  status: 'open' | 'attention' | 'done'
  attempt: number
  round: number
  charged: string | undefined
  answered: boolean
  committed: boolean
}

export function correctHistory(shape: Shape): Operation[] {
  return new Model(shape).run()
}

class Model {
  readonly #shape: Shape
  readonly #random: () => number
  readonly #operations: Operation[] = []
  readonly #log: Logged[] = []
  readonly #logged = new Set<string>()
  readonly #summaries: Logged[] = []
  readonly #producers: Producer[]
  readonly #ledger = new Map<string, Progress>()
  readonly #next = { audit: 0, board: 0 }
  readonly #balances: Record<string, number> = { bank: 0 }
  readonly #seen = { ledger: [] as string[], audit: [] as string[] }
  #published = 0
  /** All before this place in the log are done. */
  #done = 0
  #epoch = 1
  #transactions = 0

  constructor(shape: Shape) {
    this.#shape = shape
    this.#random = seededRandom(shape.seed)
    this.#producers = ['p0', 'p1', 'p2'].map((name) => ({ name, order: 0, doubtful: [], slow: undefined }))
  }

  run(): Operation[] {
    this.#add(
      { op: 'consumer', topic: 'orders', group: 'ledger' },
      { op: 'consumer', topic: 'orders', group: 'audit', from: 'earliest' },
      { op: 'consumer', topic: 'summaries', group: 'board' },
    )
    while (this.#published < this.#shape.messages) {
      this.#chance(0.4) ? this.#publish(this.#one(this.#producers)) : this.#consume()
      if (this.#chance(0.05)) this.#snapshots()
      if (this.#chance(0.1)) this.#person()
    }
    const { end } = this.#shape
    if (end === 'none') return this.#finish()
    if (end === 'early') {
      this.#finish()
      return [...this.#operations, { op: 'end', quiet: false, waiting: this.#waiting() }]
    }
    for (const producer of this.#producers) while (producer.doubtful.length > 0) this.#repeat(producer)
    for (let idle = 0; idle < 200; idle++) if (this.#consume()) idle = 0
    this.#snapshots()
    this.#finish()
    this.#add({ op: 'end', quiet: true, ...(end === 'quiet' ? {} : { waiting: this.#waiting() }) })
    return this.#operations
  }

  #finish(): Operation[] {
    for (const producer of this.#producers) this.#flush(producer)
    return this.#operations
  }

  #publish(producer: Producer): void {
    if (producer.doubtful.length > 0 && this.#chance(0.5)) this.#repeat(producer)
    else this.#publishNew(producer)
  }

  #publishNew(producer: Producer): void {
    this.#published++
    const identity = `m${this.#published}`
    const seen = this.#log.length > 0 ? [this.#one(this.#log), this.#one(this.#log)] : []
    const operation: PublishOperation = {
      op: 'publish',
      topic: 'orders',
      identity,
      key: `k${Math.floor(this.#random() * 3)}`,
      body: `body of ${identity}`,
      intent: `say ${identity}`,
      outcome: 'happened',
      ...(this.#chance(0.5) ? { after: seen.map((each) => ({ topic: 'orders', identity: each.identity })) } : {}),
      ...(this.#chance(0.3) ? { fact: `row ${identity}`, transaction: `t${++this.#transactions}` } : {}),
    }
    if (this.#chance(0.05)) {
      this.#say(producer, { ...operation, outcome: 'did-not-happen', receipt: 'refused' })
      if (this.#chance(0.5)) producer.doubtful.push(operation)
    } else if (this.#chance(0.2)) {
      if (this.#chance(0.5)) this.#append(operation)
      this.#say(producer, { ...operation, outcome: 'unknown' })
      if (this.#chance(0.1)) this.#die(producer)
      else producer.doubtful.push(operation)
    } else {
      this.#append(operation)
      this.#say(producer, { ...operation, receipt: 'accepted' })
    }
  }

  #repeat(producer: Producer): void {
    const operation = producer.doubtful.shift()
    if (operation === undefined) return
    if (this.#chance(0.2)) {
      if (this.#chance(0.5)) this.#append(operation)
      this.#say(producer, { ...operation, outcome: 'unknown' })
      producer.doubtful.push(operation)
    } else this.#say(producer, { ...operation, receipt: this.#append(operation) })
  }

  #append({ identity, key = '', body = '', fact, transaction }: PublishOperation): 'accepted' | 'duplicate' {
    if (this.#logged.has(identity)) return 'duplicate'
    this.#logged.add(identity)
    this.#log.push({ identity, key, body, number: this.#log.length + 1, erased: false })
    if (fact !== undefined) this.#add({ op: 'fact', fact, ...(transaction === undefined ? {} : { transaction }) })
    return 'accepted'
  }

  /** The receipt may come after others have acted on the message, never after the producer's own next step. */
  #say(producer: Producer, operation: PublishOperation): void {
    this.#flush(producer)
    const said = { ...operation, producer: producer.name, order: ++producer.order }
    if (this.#chance(0.2)) producer.slow = said
    else this.#add(said)
  }

  #flush(producer: Producer): void {
    if (producer.slow !== undefined) this.#add(producer.slow)
    producer.slow = undefined
  }

  #die(producer: Producer): void {
    this.#flush(producer)
    this.#add({ op: 'fault', fault: 'SIGKILL', ends: producer.name })
    producer.doubtful.length = 0
    producer.name = `successor ${this.#published}`
    producer.order = 0
  }

  /** True: something was done. */
  #consume(): boolean {
    const which = this.#random()
    if (which < 0.2) return this.#follow('audit', this.#log)
    if (which < 0.4) return this.#follow('board', this.#summaries)
    const open = this.#deliverable()
    if (open.length === 0) return false
    this.#attempt(this.#one(open))
    return true
  }

  /** The groups without troubles. */
  #follow(group: 'audit' | 'board', log: readonly Logged[]): boolean {
    const next = log[this.#next[group]]
    if (next === undefined) return false
    this.#next[group]++
    if (next.erased) return true
    const { identity, body, number } = next
    const topic = group === 'audit' ? 'orders' : 'summaries'
    if (group === 'audit') this.#seen.audit.push(identity)
    const name = { topic, group, identity }
    const transaction = `t${++this.#transactions}`
    this.#add({ op: 'effect', ...name, outcome: 'happened', body, place: [1, number], epoch: 1, transaction })
    this.#add({ op: 'inbox', ...name, transaction })
    return true
  }

  /** What the ledger may try now: the first of each lane, what is held aside. */
  #deliverable(): Logged[] {
    const lanes = new Set<string>()
    const open: Logged[] = []
    const isDone = (message: Logged): boolean => message.erased || this.#progress(message).status === 'done'
    for (let first = this.#log[this.#done]; first !== undefined && isDone(first); first = this.#log[this.#done]) this.#done++
    for (let index = this.#done; index < this.#log.length && lanes.size < 3; index++) {
      const message = this.#log[index]!
      if (isDone(message) || lanes.has(this.#lane(message))) continue
      const { status } = this.#progress(message)
      if (status === 'open') open.push(message)
      if (status === 'open' || this.#shape.onExhausted === 'hold') lanes.add(this.#lane(message))
      if (lanes.has('')) break
    }
    return open
  }

  #lane({ key }: Logged): string {
    return this.#shape.order === 'key' ? key : ''
  }

  #progress({ identity }: Logged): Progress {
    let progress = this.#ledger.get(identity)
    if (progress === undefined) {
      progress = { status: 'open', attempt: 0, round: 1, charged: undefined, answered: false, committed: false }
      this.#ledger.set(identity, progress)
    }
    return progress
  }

  #attempt(message: Logged): void {
    const progress = this.#progress(message)
    const call = message.number % 3 === 0 ? 'pay' : message.number % 5 === 0 ? 'sms' : undefined
    if (this.#chance(0.05)) this.#takeOver()
    if (call !== undefined && !progress.answered && !this.#ask(message, progress, call)) return
    const { identity, key, body, number } = message
    progress.attempt++
    const read = `${key} has ${this.#balances[key] ?? 0}`
    const effect: EffectOperation = {
      op: 'effect',
      ...of(message),
      outcome: 'happened',
      attempt: progress.attempt,
      worker: `w${this.#epoch}`,
      partition: '0',
      epoch: this.#epoch,
      place: [number > 20 ? 2 : 1, number],
      body,
      read,
      wrote: `${key} has ${(this.#balances[key] ?? 0) - 1}`,
      emits: [{ topic: 'summaries', identity: `s of ${identity}`, key, body }],
      ...(call === undefined || progress.charged === undefined ? {} : { calls: { [call]: progress.charged } }),
    }
    const transaction = `t${++this.#transactions}`
    if (this.#chance(0.05)) this.#add({ ...effect, outcome: 'did-not-happen', epoch: this.#epoch - 1, worker: 'zombie' })
    if (this.#chance(0.2)) {
      if (this.#chance(0.5)) this.#add({ ...effect, outcome: 'did-not-happen' })
      if (progress.attempt >= 3) this.#toPerson(message, 'dead-letter')
      return
    }
    if (this.#chance(0.07)) {
      this.#add({ ...effect, outcome: 'unknown', transaction })
      if (this.#chance(0.5)) return
    } else this.#add({ ...effect, transaction })
    progress.status = 'done'
    this.#balances[key] = (this.#balances[key] ?? 0) - 1
    this.#balances.bank = (this.#balances.bank ?? 0) + 1
    this.#seen.ledger.push(identity)
    this.#add({ op: 'inbox', ...of(message), transaction })
    const summary = { identity: `s of ${identity}`, key, body, number: this.#summaries.length + 1, erased: false }
    this.#summaries.push(summary)
    this.#add({
      op: 'publish',
      topic: 'summaries',
      identity: summary.identity,
      key,
      body,
      outcome: 'happened',
      producer: 'ledger',
      order: summary.number,
      cause: of(message),
      transaction,
    })
  }

  /** True: the call has happened, and the handler can run. */
  #ask(message: Logged, progress: Progress, call: string): boolean {
    const token = `${call} ${message.identity} ${progress.round}`
    const request = { op: 'request', ...of(message), call, token, round: progress.round, worker: `w${this.#epoch}` } as const
    const answer = this.#random()
    if (progress.charged === undefined && answer < 0.15) {
      this.#add({ ...request, outcome: 'did-not-happen' })
      progress.round++
      return false
    }
    if (progress.charged === undefined && (answer < 0.3 || answer > 0.45)) {
      progress.charged = `charge ${token}`
      this.#add({ op: 'charge', ...of(message), call, token, id: progress.charged })
    }
    if (answer < 0.45) {
      this.#add({ ...request, outcome: 'unknown' })
      if (call === 'sms') this.#toPerson(message, 'unknown-outcome')
      return false
    }
    this.#add({ ...request, outcome: 'happened' })
    progress.answered = true
    return true
  }

  #toPerson(message: Logged, kind: 'dead-letter' | 'unknown-outcome'): void {
    this.#progress(message).status = 'attention'
    this.#add({ op: 'attention', ...of(message), kind })
  }

  #person(): void {
    if (this.#chance(0.05)) this.#erase()
    const waiting = this.#log
      .slice(this.#done)
      .filter((message) => !message.erased && this.#progress(message).status === 'attention')
    if (waiting.length === 0) return
    const message = this.#one(waiting)
    const progress = this.#progress(message)
    const person = { op: 'person', ...of(message), by: 'ann', outcome: 'happened' } as const
    if (this.#chance(0.3)) {
      this.#add({ ...person, action: 'discard' })
      progress.status = 'done'
      return
    }
    if (progress.attempt === 0) {
      const settle = {
        op: 'settle',
        ...of(message),
        call: 'sms',
        token: `sms ${message.identity} ${progress.round}`,
        by: 'ann',
      } as const
      this.#add({ ...settle, as: progress.charged === undefined ? 'voided' : 'happened' })
      if (progress.charged === undefined) progress.round++
      else progress.answered = true
      this.#add({ ...person, action: 'settle' })
    } else this.#add({ ...person, action: 'redrive' })
    progress.attempt = 0
    progress.status = 'open'
  }

  #erase(): void {
    for (const producer of this.#producers) this.#flush(producer)
    const key = `k${Math.floor(this.#random() * 3)}`
    for (const message of this.#log) if (message.key === key) message.erased = true
    this.#add({ op: 'person', action: 'erase', topic: 'orders', key, by: 'ann', outcome: 'happened' })
  }

  #takeOver(): void {
    this.#add({ op: 'fault', fault: 'SIGKILL', ends: `w${this.#epoch}` })
    this.#epoch++
  }

  #snapshots(): void {
    this.#add({ op: 'snapshot', of: 'balances', state: { ...this.#balances } })
    if (this.#shape.messages > 1_000) return
    for (const replica of ['ledger', 'audit'] as const) {
      const facts = [...this.#seen[replica]]
      this.#add({
        op: 'snapshot',
        of: 'count',
        replica,
        state: { count: facts.length, newest: [...facts].sort().at(-1) ?? null },
        facts,
      })
    }
  }

  #waiting(): MessageOfGroup[] {
    const ledger = this.#log.filter((message) => !message.erased && this.#progress(message).status !== 'done').map(of)
    const audit = this.#log.slice(this.#next.audit).map((message) => ({ ...of(message), group: 'audit' }))
    const board = this.#summaries.slice(this.#next.board)
    return [...ledger, ...audit, ...board.map(({ identity }) => ({ topic: 'summaries', group: 'board', identity }))]
  }

  #add(...operations: Operation[]): void {
    this.#operations.push(...operations)
  }

  #chance(probability: number): boolean {
    return this.#random() < probability
  }

  #one<T>(of: readonly T[]): T {
    return of[Math.floor(this.#random() * of.length)]!
  }
}

const of = ({ identity }: Logged): MessageOfGroup => ({ topic: 'orders', group: 'ledger', identity })
