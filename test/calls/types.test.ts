/** What the compiler infers; checked by `npm run typecheck`, nothing here runs a consumer. */
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { call, onefold, topic } from '../../src/index.ts'
import { sqlite } from '../../src/database/sqlite/index.ts'

const payments = topic('payments', {
  schema: z.object({ id: z.string(), account: z.string(), amount: z.number(), at: z.coerce.date() }),
  id: (p) => p.id,
  key: (p) => p.account,
})
const bookings = topic('bookings', { schema: z.object({ payment: z.string(), total: z.number() }) })

const mail = { send: async (_mail: unknown): Promise<{ id: string }> => ({ id: '1' }) }
const sms = { send: async (_to: string): Promise<{ at: Date }> => ({ at: new Date(0) }) }
const bank = {
  wire: async (ref: string): Promise<{ ref: string; fee: number; at: Date }> => ({ ref, fee: 1, at: new Date(0) }),
  lookup: async (_ref: string): Promise<{ ref: string; fee: number; at: Date } | null | 'down'> => null,
}

describe('types of declared calls', () => {
  it('results reach apply as JSON gives them back, whatever the order of the options', () => {
    const app = onefold({ database: sqlite('never-opened.db') })
    app.consume(payments, {
      group: 'wire',
      calls: {
        wire: call((p, { token }) => bank.wire(p.id + token), {
          whenUnknown: async (p) => {
            const found = await bank.lookup(p.id)
            return found === 'down' ? 'unknown' : found ? { happened: found } : 'did-not-happen'
          },
          whenFailed: 'apply',
        }),
        email: call((p, { token }) => mail.send({ to: p.account, idempotencyKey: token })),
        sms: call((p) => sms.send(p.account), { whenUnknown: 'ask-person', when: (p) => p.amount > 100 }),
        short: call((p) => bank.wire(p.id), { result: z.object({ fee: z.number() }) }),
      },
      apply(p, { tx, publish, calls }) {
        if (calls.wire.status === 'failed') tx.run('update wire set state = ?', calls.wire.error?.code ?? '')
        const at: string | undefined = calls.wire.result?.at
        const sent: string | undefined = calls.sms?.at
        const id: string = calls.email.id
        const fee: number = calls.short.fee
        publish(bookings, { payment: p.id, total: (calls.wire.result?.fee ?? 0) + fee + (at ?? sent ?? id).length })
        p.at.getTime()
        // @ts-expect-error only what the schema names is remembered
        calls.short.ref
        // @ts-expect-error no such call
        calls.fax
        // @ts-expect-error a skipped call has no result
        calls.sms.at
      },
    })
    app.consume(payments, {
      group: 'apply-first',
      apply(p, { calls }) {
        const id: string = calls.email.id
        return id + p.id
      },
      calls: { email: call((p) => mail.send({ to: p.account })) },
    })
    app.consume(payments, 'short', (p, { tx, calls }) => {
      tx.run('select ?', p.amount)
      // @ts-expect-error nothing was declared
      calls.email
    })
    app.consume(payments, {
      group: 'other-probe',
      calls: {
        // @ts-expect-error the probe's result must be what the call answers
        email: call((p) => mail.send(p.account), { whenUnknown: () => ({ happened: { number: 1 } }) }),
      },
      apply: () => undefined,
    })
    expect(app.consumers).toHaveLength(4)
  })
})
