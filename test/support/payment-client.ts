/** What a careful user writes against the payment provider. */

export interface Purchase {
  /** The caller's own name for it: the message's id. */
  readonly reference: string
  readonly key: string
}

export interface Charge {
  readonly id: string
  readonly reference: string
}

export class PaymentClient {
  readonly #url: string
  readonly #name: string

  constructor(url: string, name: string) {
    this.#url = url
    this.#name = name
  }

  async charge(purchase: Purchase, { token, signal }: { token: string; signal: AbortSignal }): Promise<Charge> {
    const charge = await this.#ask<Charge>('/charges', signal, {
      method: 'POST',
      headers: { 'idempotency-key': token, 'x-client': this.#name, 'content-type': 'application/json' },
      body: JSON.stringify(purchase),
    })
    // An answer that belongs to another request says nothing about this one.
    if (charge.reference !== purchase.reference) throw new Error(`asked for ${purchase.reference}, told of ${charge.reference}`)
    return { id: charge.id, reference: charge.reference }
  }

  async find(reference: string, signal: AbortSignal): Promise<Charge | undefined> {
    const { charges } = await this.#ask<{ charges: Charge[] }>(`/charges?reference=${encodeURIComponent(reference)}`, signal)
    return charges[0] && { id: charges[0].id, reference }
  }

  /** Undefined: there is no charge under this token, and there will be none. */
  async void(token: string, signal: AbortSignal): Promise<Charge | undefined> {
    const { charge } = await this.#ask<{ charge?: Charge }>(`/void/${encodeURIComponent(token)}`, signal, { method: 'POST' })
    return charge && { id: charge.id, reference: charge.reference }
  }

  async #ask<R>(path: string, signal: AbortSignal, options: RequestInit = {}): Promise<R> {
    const response = await fetch(`${this.#url}${path}`, { ...options, signal })
    const body = (await response.json()) as R & { error?: string }
    if (!response.ok) throw Object.assign(new Error(body.error ?? 'no reason given'), { status: response.status })
    return body
  }
}
