import type { Ledger, ProviderConfig } from './payment-ledger.ts'
import { paymentProviderProgram } from './payment-provider.ts'
import { until, Worker } from './worker-process.ts'

/** A payment provider in its own process, as a test drives it. Ends with the process that started it. */
export class PaymentProcess {
  readonly url: string
  readonly #control: string
  readonly #process: Worker

  static async start(config: Partial<ProviderConfig> = {}): Promise<PaymentProcess> {
    const process = new Worker(paymentProviderProgram, { ...kind, ...config })
    const line = await process.until('listening ')
    return new PaymentProcess(process, JSON.parse(line.slice('listening '.length)) as { api: number; control: number })
  }

  private constructor(process: Worker, ports: { readonly api: number; readonly control: number }) {
    this.#process = process
    this.url = `http://127.0.0.1:${ports.api}`
    this.#control = `http://127.0.0.1:${ports.control}`
  }

  ledger(): Promise<Ledger> {
    return this.#tell('/ledger', {})
  }

  /** From the next request on. */
  change(config: Partial<ProviderConfig>): Promise<Ledger> {
    return this.#tell('/change', config)
  }

  /** Cuts all connections and refuses new ones. */
  close(): Promise<Ledger> {
    return this.#tell('/door', { open: false })
  }

  open(): Promise<Ledger> {
    return this.#tell('/door', { open: true })
  }

  /** The ledger, once nothing can be added to it any more by itself. */
  async settled(boundMs = 20_000): Promise<Ledger> {
    let ledger = await this.ledger()
    await until(
      async () => {
        ledger = await this.ledger()
        return ledger.late === 0 && ledger.requests.every((request) => request.endedMs !== undefined)
      },
      () => `the provider is done: ${JSON.stringify(ledger.requests.filter((request) => request.endedMs === undefined))}`,
      boundMs,
    )
    return ledger
  }

  async stop(): Promise<void> {
    await this.#process.stop()
  }

  async #tell(path: string, body: unknown): Promise<Ledger> {
    const response = await fetch(`${this.#control}${path}`, { method: 'POST', body: JSON.stringify(body) })
    return (await response.json()) as Ledger
  }
}

const kind: ProviderConfig = {
  seed: 1,
  tokens: 'honoured',
  meanwhile: 'wait',
  troubles: 2,
  lookupsRefused: 0,
  lateMs: 2_000,
  workMs: 0,
}
