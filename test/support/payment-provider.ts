/**
 * A payment provider with all its bad habits, in a process of its own: it outlives the workers that are killed while they
 * wait for it. Started as `node payment-provider.ts '<config as JSON>'`; says `listening {"api": …, "control": …}`.
 *
 *   POST /charges            Idempotency-Key: TOKEN      200 { id, reference } · 402 declined · 409 · 422 · 503
 *   GET  /charges?reference= or ?token=                  200 { charges }
 *   POST /void/TOKEN         200 { voided: true }, or { charge } when there is one: then it is too late
 *
 * and on the control port: GET /ledger, POST /change (part of a config), POST /door { open }.
 */
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '../../src/testing/index.ts'
import type { Behaviour, Ledger, LedgerCharge, LedgerRequest, ProviderConfig } from './payment-ledger.ts'

export const paymentProviderProgram = fileURLToPath(import.meta.url)

interface Answer {
  readonly status: number
  readonly body: unknown
}

/** What a token stands for. */
interface TokenRecord {
  readonly text: string
  readonly answer: Promise<Answer>
  finished: boolean
}

type Request = { -readonly [K in keyof LedgerRequest]: LedgerRequest[K] }

class Provider {
  config: ProviderConfig
  readonly #requests: Request[] = []
  readonly #charges: LedgerCharge[] = []
  readonly #voided = new Set<string>()
  readonly #tokens = new Map<string, TokenRecord>()
  readonly #lookups = new Map<string, number>()
  readonly #asked = new Map<string, number>()
  /** Requests whose client has gone and which are carried out all the same. */
  #late = 0

  constructor(config: ProviderConfig) {
    this.config = config
  }

  get ledger(): Ledger {
    return { requests: this.#requests, charges: this.#charges, voided: [...this.#voided], late: this.#late }
  }

  async handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://provider')
    const token = url.searchParams.get('token') ?? decodeURIComponent(url.pathname.slice('/void/'.length))
    if (incoming.method === 'POST' && url.pathname === '/charges') await this.#charge(incoming, response)
    else if (this.#asksInVain(url.href)) send(response, { status: 503, body: { error: 'unavailable' } })
    else if (incoming.method === 'GET' && url.pathname === '/charges') {
      const reference = url.searchParams.get('reference')
      const charges = this.#charges.filter((one) => (reference === null ? one.token === token : one.reference === reference))
      send(response, { status: 200, body: { charges } })
    } else if (incoming.method === 'POST' && url.pathname.startsWith('/void/')) {
      const charge = this.#charges.find((one) => one.token === token)
      if (charge === undefined) this.#voided.add(token)
      send(response, { status: 200, body: charge === undefined ? { voided: true } : { charge } })
    } else send(response, { status: 404, body: { error: 'no such thing' } })
  }

  async #charge(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(incoming)
    const { reference, key } = JSON.parse(text) as { reference: string; key: string }
    const token = String(incoming.headers['idempotency-key'] ?? '')
    const request: Request = {
      number: this.#requests.length + 1,
      reference,
      key,
      token,
      client: String(incoming.headers['x-client'] ?? ''),
      behaviour: this.#behaviour(reference),
      arrivedMs: performance.now(),
      endedMs: undefined,
      status: undefined,
    }
    this.#requests.push(request)
    const gone = new Promise<void>((resolve) => {
      response.once('close', () => {
        request.endedMs = performance.now()
        resolve()
      })
    })
    const answer = (one: Answer): void => {
      if (response.destroyed || response.closed) return
      request.status = one.status
      send(response, one)
    }

    const { behaviour } = request
    if (behaviour === 'never') return
    if (behaviour === 'unavailable') return answer({ status: 503, body: { error: 'unavailable' } })
    if (behaviour === 'late' || behaviour === 'slow') {
      // 'slow' has looked at the token before it is slow, 'late' only looks when its time has come.
      const ready = gone.then(() => pause(this.config.lateMs))
      this.#late++
      await (behaviour === 'late' ? ready.then(() => this.#carryOut(request, text)) : this.#carryOut(request, text, ready))
      this.#late--
      return
    }
    const outcome = await this.#carryOut(request, text, pause(this.#random(reference, 'work') * this.config.workMs))
    if (behaviour === 'lose-answer') {
      response.socket?.destroy()
      return
    }
    if (behaviour === 'charge-then-500') return answer({ status: 500, body: { error: 'something broke' } })
    const { socket } = response
    if (behaviour === 'answer-twice') response.once('finish', () => void socket?.write(raw(outcome)))
    answer(outcome)
  }

  /** Under a token at most once, where tokens are honoured. */
  async #carryOut(request: Request, text: string, work: Promise<void> = Promise.resolve()): Promise<Answer> {
    const { token } = request
    if (this.config.tokens === 'ignored' || token === '') return work.then(() => this.#decide(request))
    const known = this.#tokens.get(token)
    if (known !== undefined && known.text !== text) return { status: 422, body: { error: 'token used for another request' } }
    if (known !== undefined && !known.finished && this.config.meanwhile === 'conflict')
      return { status: 409, body: { error: 'a request with this token is being carried out' } }
    if (known !== undefined) return await known.answer
    const record: TokenRecord = { text, finished: false, answer: work.then(() => this.#decide(request)) }
    this.#tokens.set(token, record)
    const answer = await record.answer
    record.finished = true
    return answer
  }

  #decide({ number, reference, token, behaviour }: Request): Answer {
    if (this.#voided.has(token)) return { status: 409, body: { error: 'token is void' } }
    if (behaviour === 'decline') return { status: 402, body: { error: 'card declined' } }
    const charge = { id: `ch_${this.#charges.length + 1}`, reference, token, request: number, atMs: performance.now() }
    this.#charges.push(charge)
    return { status: 200, body: { id: charge.id, reference } }
  }

  #behaviour(reference: string): Behaviour {
    const { plans = {}, odds = {}, troubles } = this.config
    const before = this.#asked.get(reference) ?? 0
    this.#asked.set(reference, before + 1)
    const plan = plans[reference]
    if (plan !== undefined) return plan[before] ?? 'answer'
    if (before >= troubles) return 'answer'
    let drawn = this.#random(reference, before)
    for (const [behaviour, share] of Object.entries(odds)) {
      if (drawn < share) return behaviour as Behaviour
      drawn -= share
    }
    return 'answer'
  }

  #asksInVain(what: string): boolean {
    const before = this.#lookups.get(what) ?? 0
    this.#lookups.set(what, before + 1)
    return before < this.config.troubles && this.#random(what, before) < this.config.lookupsRefused
  }

  #random(...about: readonly (string | number)[]): number {
    return seededRandom(this.config.seed, ...about)()
  }
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of incoming.setEncoding('utf8')) text += chunk
  return text
}

function send(response: ServerResponse, { status, body }: Answer): void {
  const text = JSON.stringify(body)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

/** As bytes: no server library sends a second answer. */
function raw({ status, body }: Answer): string {
  const text = JSON.stringify(body)
  const head = `HTTP/1.1 ${status} Again\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}`
  return `${head}\r\n\r\n${text}`
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function main(config: ProviderConfig): Promise<void> {
  const provider = new Provider(config)
  const swallow = (error: unknown): void => console.error(error)
  const api = createServer((incoming, response) => void provider.handle(incoming, response).catch(swallow))
  // A connection kept open must not be closed at the moment a client uses it again.
  api.keepAliveTimeout = 60_000
  const listen = async (port: number): Promise<number> => {
    api.listen(port, '127.0.0.1')
    await once(api, 'listening')
    return (api.address() as AddressInfo).port
  }
  const port = await listen(0)
  const control = createServer((incoming, response) => {
    void (async () => {
      const body = JSON.parse((await bodyOf(incoming)) || '{}') as Partial<ProviderConfig> & { readonly open?: boolean }
      if (incoming.url === '/change') provider.config = { ...provider.config, ...body }
      if (incoming.url === '/door' && body.open === false) {
        const closed = once(api, 'close')
        api.close()
        api.closeAllConnections()
        await closed
      }
      if (incoming.url === '/door' && body.open === true) await listen(port)
      send(response, { status: 200, body: provider.ledger })
    })().catch(swallow)
  })
  control.listen(0, '127.0.0.1')
  await once(control, 'listening')
  console.log(`listening ${JSON.stringify({ api: port, control: (control.address() as AddressInfo).port })}`)
  process.stdin.resume()
  await once(process.stdin, 'end')
  process.exit(0)
}

const [, program, config] = process.argv
if (program === paymentProviderProgram && config !== undefined) await main(JSON.parse(config) as ProviderConfig)
