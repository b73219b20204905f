import type { AnyCall, Probe } from '../../call.ts'
import { classifyError } from '../../calls/classify-error.ts'
import { CallFailed, OnefoldError } from '../../errors.ts'
import { isThenable } from '../../message.ts'
import type { Operation, OperationOutcome } from '../history.ts'
import type { Conditions } from './conditions.ts'
import type { Incarnation, World } from './world.ts'
import { nobody, stopFaults } from './world.ts'

/** What may go wrong with a request. */
export const requestFaults = [
  'request lost',
  'done, answer lost',
  'done late, after it was given up',
  'killed after it was done',
  'frozen before it',
] as const
/** The other side answers, and does not do it. */
const declines = 'refused: declined (402)'
const isBusy = 'refused: busy (503)'
const stopsWaiting = 'done, told to stop at once before the answer'
const garbles = 'done, answer not as `result` says'
const garbled = { unexpected: 'answer (simulated)' }

interface Charge {
  readonly id: string
  readonly result: unknown
}

export interface RequestOf {
  readonly topic: string
  readonly group: string
  readonly identity: string
  readonly call: string
}

/** What it throws is a refusal, as `call` understands it: `CallFailed`, an error with a `status` of 503. */
export type OutsideModel = (data: unknown, context: { readonly token: string }) => unknown

interface Asked {
  readonly call: AnyCall
  readonly owner: Incarnation
  readonly request: RequestOf
  readonly data: unknown
  readonly token: string
}

interface Refusal {
  readonly error: Error
  /** What it speaks of: all that was asked for under the token, or this one request. */
  readonly of: 'token' | 'request'
}

/**
 * Whoever is called, with a ledger of its own that no crash of ours touches. It does one thing for a token, however often it
 * is asked, unless it does not honour tokens; it can refuse, lose what it is asked and what it answers, and act when nobody waits
 * any more.
 *
 * What it has declined it declines again under the same token, and does not do late: so a declined call is made under another
 * token, or (`whenFailed: 'apply'`) is how this schedule's world is. A busy other side has remembered nothing.
 */
export class OutsideWorld {
  readonly #world: World
  readonly #history: Operation[]
  readonly #models: Readonly<Record<string, OutsideModel>>
  readonly #honoursTokens: boolean
  readonly #conditions: Conditions
  readonly #charges = new Map<string, Charge>()
  readonly #counts = new Map<string, number>()
  readonly #declined = new Set<string>()
  /** Tokens under which a request has been made that may have been lost. */
  readonly #asked = new Set<string>()
  /** Tokens of which a person has said that nothing happened under them. */
  readonly #denied = new Set<string>()
  /** What was asked for under a token: under the same one nobody may ask for something else. */
  readonly #data = new Map<string, string>()
  readonly wrongs: string[] = []
  /** Acts that are still to come, though nobody waits for them any more. */
  pending = 0

  constructor(
    world: World,
    history: Operation[],
    options: {
      readonly models: Readonly<Record<string, OutsideModel>>
      readonly honoursTokens: boolean
      readonly conditions: Conditions
    },
  ) {
    this.#world = world
    this.#history = history
    this.#models = options.models
    this.#honoursTokens = options.honoursTokens
    this.#conditions = options.conditions
  }

  /** Everything it has done: for comparing runs. */
  ledger(): string[] {
    return [...this.#counts].map(([what, times]) => `${what} ×${times}`).sort()
  }

  charged(token: string): Charge | undefined {
    return this.#charges.get(token)
  }

  /** The call with its other side simulated: neither `run` nor a probe of the user's is executed. */
  simulate(
    call: AnyCall,
    name: string,
    owner: Incarnation,
    of: (data: unknown, token: string) => Omit<RequestOf, 'call'>,
  ): AnyCall {
    return {
      ...call,
      run: (data: unknown, { token }: { token: string }) => {
        const request: RequestOf = { ...of(data, token), call: name }
        const asked: Asked = { call, owner, request, data, token }
        return new Promise((resolve, reject) => {
          this.#world.call({
            owner,
            label: `request ${name} for ${request.identity}`,
            locks: false,
            faults: [
              ...requestFaults,
              ...this.#refusals(asked),
              ...(owner.stop === undefined ? [] : [...stopFaults(owner), stopsWaiting]),
            ],
            begin: (fault) => this.#request(asked, fault, resolve, reject),
          })
        })
      },
      probe:
        call.probe === undefined
          ? undefined
          : (data: unknown, { token }: { token: string }) => this.#probe({ ...of(data, token), call: name }, token),
    }
  }

  /** That it did not happen says nothing of a request still on its way: only what happened settles anything. */
  #probe(request: RequestOf, token: string): Probe<unknown> {
    const charge = this.#charges.get(token)
    if (charge === undefined) return 'did-not-happen'
    this.#history.push({ op: 'settle', ...request, token, as: 'happened', by: 'probe' })
    return { happened: charge.result }
  }

  /** A person has looked at the books: nothing happened under this token. */
  denied(token: string): void {
    this.#denied.add(token)
  }

  /** Where `apply` gets to know of a refusal, it decides what becomes of the message: such a one is only placed where it always comes. */
  #refusals({ call, request, token }: Asked): string[] {
    if (this.#charges.has(token) || this.#conditions.given) return []
    const once = call.whenFailed === 'fail-attempt'
    const told = this.#asked.has(token) && !this.#denied.has(token)
    return [
      ...(once || !this.#counts.has(entryOf(request)) ? [declines] : []),
      ...(once || told ? [isBusy] : []),
      ...(refusesGarbled(call) ? [garbles] : []),
    ]
  }

  /** What it does with a request that has arrived. */
  #receive(asked: Asked, fault: string): Charge | Refusal {
    const { call, request, data, token } = asked
    const said = JSON.stringify(data)
    if ((this.#data.get(token) ?? said) !== said)
      this.wrongs.push(`Call ${request.call} for ${request.identity} is asked for under one token with other data than before.`)
    this.#data.set(token, said)
    const known = this.#honoursTokens ? this.#charges.get(token) : undefined
    if (known !== undefined) return known
    if (fault === isBusy)
      return { error: Object.assign(new Error('503 Service Unavailable (simulated)'), { status: 503 }), of: 'request' }
    const condition = `declined: ${entryOf(request)}`
    if (fault === declines) {
      this.#declined.add(token)
      if (call.whenFailed === 'apply') this.#conditions.add(condition)
    }
    if (this.#declined.has(token) || this.#conditions.has(condition))
      return { error: new CallFailed('declined (simulated)', { code: 'declined' }), of: 'token' }
    return this.#charge(asked, this.#counts.get(entryOf(request)) ?? 0)
  }

  #request(asked: Asked, fault: string, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
    const { owner, request, token } = asked
    const told = `${request.call} for ${request.identity}`
    const record = (outcome: OperationOutcome, refuses?: Refusal['of']): void =>
      void this.#history.push({
        op: 'request',
        ...request,
        token,
        outcome,
        worker: `${owner.name}/${owner.life}`,
        ...(refuses === undefined ? {} : { refuses }),
      })
    const unanswered = (): void => {
      record('unknown')
      reject(new OnefoldError('CALL_UNKNOWN', `no answer to ${told} (simulated).`, { outcome: 'unknown', retry: 'later' }))
    }
    this.#asked.add(token)
    if (fault === 'request lost') {
      this.#world.tell(owner, `asks for ${told}; the request is lost`)
      unanswered()
      return
    }
    if (fault === 'done late, after it was given up') {
      this.#world.tell(owner, `asks for ${told} and gives up waiting`)
      this.pending++
      this.#world.timer(nobody, 50, () => {
        this.pending--
        const did = 'id' in this.#receive(asked, fault) ? 'does' : 'declines'
        this.#world.tell('outside world', `${did} late what it was asked for: ${told}`)
      })
      unanswered()
      return
    }
    const answer = this.#receive(asked, fault)
    const was = 'id' in answer ? 'done' : 'declined'
    if (fault === 'killed after it was done') {
      record('unknown')
      this.#world.crash(owner, `after ${told} was ${was}, before it was told`)
      return
    }
    if (fault === stopsWaiting && owner.stop !== undefined) {
      this.#world.tell(owner, `asks for ${told}; it is ${was}, and it is told to stop before it hears of that`)
      record('unknown')
      owner.stop('at once')
      return
    }
    // Who has been told to stop since it asked is not told again.
    if (fault === stopsWaiting || fault === 'done, answer lost') {
      this.#world.tell(owner, `asks for ${told}; it is ${was}, and the answer is lost`)
      unanswered()
      return
    }
    if ('error' in answer) {
      this.#world.tell(owner, `asks for ${told}; it is refused: ${answer.error.message}`)
      record('did-not-happen', answer.of)
      reject(answer.error)
      return
    }
    if (fault === garbles) {
      this.#world.tell(owner, `asks for ${told}; it is done, and the answer is something else`)
      record('unknown')
      resolve(garbled)
      return
    }
    this.#world.tell(owner, `asks for ${told}; it is done`)
    record('happened')
    resolve(answer.result)
  }

  #charge({ request, data, token }: Asked, before: number): Charge | Refusal {
    const times = before + 1
    const id = times === 1 ? `${request.call}-${request.identity}` : `${request.call}-${request.identity}-${times}`
    const model = this.#models[request.call]
    let result: unknown = { id }
    try {
      if (model !== undefined) result = model(data, { token })
    } catch (error) {
      const { outcome, earlier } = classifyError(error)
      if (outcome === 'unknown' || !(error instanceof Error)) throw error
      return { error, of: earlier === 'failed' ? 'token' : 'request' }
    }
    const charge = { id, result }
    this.#counts.set(entryOf(request), times)
    this.#charges.set(token, charge)
    this.#history.push({ op: 'charge', ...request, token, id })
    return charge
  }
}

const entryOf = ({ topic, group, call, identity }: RequestOf): string => `${topic}/${group}/${call} ${identity}`

/** Only what a schema certainly refuses is an answer that nobody understands. */
function refusesGarbled({ result }: AnyCall): boolean {
  const checked = result?.['~standard'].validate(garbled)
  return checked !== undefined && !isThenable(checked) && checked.issues !== undefined
}
