import type { AnyCall, Probe } from '../../call.ts'
import { OnefoldError } from '../../errors.ts'
import type { Operation } from '../history.ts'
import type { Incarnation, World } from './world.ts'
import { nobody } from './world.ts'

/** What may go wrong with a request. */
export const requestFaults = [
  'request lost',
  'done, answer lost',
  'done late, after it was given up',
  'killed after it was done',
] as const

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

export type OutsideModel = (data: unknown, context: { readonly token: string }) => unknown

/**
 * Whoever is called, with a ledger of its own that no crash of ours touches. It does one thing for a token, however often it
 * is asked, unless it does not honour tokens; it can lose what it is asked and what it answers, and act when nobody waits any more.
 */
export class OutsideWorld {
  readonly #world: World
  readonly #history: Operation[]
  readonly #models: Readonly<Record<string, OutsideModel>>
  readonly #honoursTokens: boolean
  readonly #charges = new Map<string, Charge>()
  readonly #counts = new Map<string, number>()
  /** Acts that are still to come, though nobody waits for them any more. */
  pending = 0

  constructor(
    world: World,
    history: Operation[],
    options: { readonly models: Readonly<Record<string, OutsideModel>>; readonly honoursTokens: boolean },
  ) {
    this.#world = world
    this.#history = history
    this.#models = options.models
    this.#honoursTokens = options.honoursTokens
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
        return new Promise((resolve, reject) => {
          this.#world.call({
            owner,
            label: `request ${name} for ${request.identity}`,
            locks: false,
            faults: [...requestFaults, 'frozen before it'],
            begin: (fault) => this.#request(owner, request, data, token, fault, resolve, reject),
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

  #request(
    owner: Incarnation,
    request: RequestOf,
    data: unknown,
    token: string,
    fault: string,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    const told = `${request.call} for ${request.identity}`
    const record = (outcome: 'happened' | 'unknown'): void =>
      void this.#history.push({ op: 'request', ...request, token, outcome, worker: `${owner.name}/${owner.life}` })
    const unanswered = (): void => {
      record('unknown')
      reject(new OnefoldError('CALL_UNKNOWN', `no answer to ${told} (simulated).`, { outcome: 'unknown', retry: 'later' }))
    }
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
        this.#charge(request, data, token)
        this.#world.tell('outside world', `does late what it was asked for: ${told}`)
      })
      unanswered()
      return
    }
    const charge = this.#charge(request, data, token)
    if (fault === 'killed after it was done') {
      record('unknown')
      this.#world.crash(owner, `after ${told} was done, before it was told`)
      return
    }
    if (fault === 'done, answer lost') {
      this.#world.tell(owner, `asks for ${told}; it is done, and the answer is lost`)
      unanswered()
      return
    }
    this.#world.tell(owner, `asks for ${told}; it is done`)
    record('happened')
    resolve(charge.result)
  }

  #charge(request: RequestOf, data: unknown, token: string): Charge {
    const known = this.#honoursTokens ? this.#charges.get(token) : undefined
    if (known !== undefined) return known
    const what = `${request.topic}/${request.group}/${request.call} ${request.identity}`
    const times = (this.#counts.get(what) ?? 0) + 1
    this.#counts.set(what, times)
    const id = times === 1 ? `${request.call}-${request.identity}` : `${request.call}-${request.identity}-${times}`
    const model = this.#models[request.call]
    const charge = { id, result: model === undefined ? { id } : model(data, { token }) }
    this.#charges.set(token, charge)
    this.#history.push({ op: 'charge', ...request, token, id })
    return charge
  }
}
