/** The promises about calls are judged by what this provider does: that it does what it says is tried first. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Purchase } from '../support/payment-client.ts'
import { PaymentClient } from '../support/payment-client.ts'
import { PaymentProcess } from '../support/payment-process.ts'
import { rejection } from '../support/until.ts'

let provider: PaymentProcess
let client: PaymentClient

beforeEach(async () => {
  provider = await PaymentProcess.start({ lateMs: 200 })
  client = new PaymentClient(provider.url, 'test')
})

afterEach(() => provider.stop())

const purchase: Purchase = { reference: 'a', key: 'k' }
const ask = (token: string, more: Partial<Purchase> = {}, giveUpMs = 2_000) =>
  client.charge({ ...purchase, ...more }, { token, signal: AbortSignal.timeout(giveUpMs) })
const charged = async () => (await provider.settled()).charges.map(({ reference, token }) => `${reference} ${token}`)

describe('the payment provider', () => {
  test('honours tokens: same token, same charge; and refuses one that comes with another body', async () => {
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
    expect(await rejection(ask('t', { key: 'other' }))).toMatchObject({ status: 422 })
    expect(await ask('u')).toEqual({ id: 'ch_2', reference: 'a' })
    expect(await charged()).toEqual(['a t', 'a u'])
  })

  test('ignores tokens when told to: every request charges', async () => {
    await provider.change({ tokens: 'ignored' })
    expect([(await ask('t')).id, (await ask('t')).id]).toEqual(['ch_1', 'ch_2'])
  })

  test('loses the answer after it has charged; the same token gives it again', async () => {
    await provider.change({ plans: { a: ['lose-answer', 'charge-then-500'] } })
    expect(await rejection(ask('t'))).not.toHaveProperty('status')
    expect(await rejection(ask('t'))).toMatchObject({ status: 500 })
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
    expect(await charged()).toEqual(['a t'])
  })

  test('never answers, and never charges', async () => {
    await provider.change({ plans: { a: ['never'] } })
    expect(await rejection(ask('t', {}, 100))).toMatchObject({ name: 'TimeoutError' })
    expect(await charged()).toEqual([])
  })

  test('charges after the client gave up', async () => {
    await provider.change({ plans: { a: ['late'] } })
    await rejection(ask('t', {}, 100))
    expect(await client.find('a', AbortSignal.timeout(1_000))).toBeUndefined()
    expect(await charged()).toEqual(['a t'])
  })

  test('charges once when a repeat overtakes the late request, and twice when tokens are ignored', async () => {
    await provider.change({ plans: { a: ['late'], b: ['late'] } })
    await rejection(ask('t', {}, 100))
    await ask('t')
    expect(await charged()).toEqual(['a t'])
    await provider.change({ tokens: 'ignored' })
    await rejection(ask('v', { reference: 'b' }, 100))
    await ask('v', { reference: 'b' })
    expect(await charged()).toEqual(['a t', 'b v', 'b v'])
  })

  test('a token that is being worked on: a second request waits for its answer, or is refused', async () => {
    await provider.change({ plans: { a: ['slow'], b: ['slow'] } })
    await rejection(ask('t', {}, 100))
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
    await provider.change({ meanwhile: 'conflict' })
    await rejection(ask('u', { reference: 'b' }, 100))
    expect(await rejection(ask('u', { reference: 'b' }))).toMatchObject({ status: 409 })
    expect(await charged()).toEqual(['a t', 'b u'])
  })

  test.for(['late', 'slow'] as const)('a void token is refused, also to the request that is %s', async (behaviour) => {
    await provider.change({ plans: { a: [behaviour] } })
    await rejection(ask('t', {}, 100))
    expect(await client.void('t', AbortSignal.timeout(1_000))).toBeUndefined()
    expect(await rejection(ask('t'))).toMatchObject({ status: 409 })
    expect(await charged()).toEqual([])
  })

  test('a token that has been charged cannot be made void', async () => {
    await ask('t')
    expect(await client.void('t', AbortSignal.timeout(1_000))).toEqual({ id: 'ch_1', reference: 'a' })
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
  })

  test('declines for ever under the old token, and accepts under a new one', async () => {
    await provider.change({ plans: { a: ['decline'] } })
    expect(await rejection(ask('t'))).toMatchObject({ status: 402 })
    expect(await rejection(ask('t'))).toMatchObject({ status: 402 })
    expect(await ask('u')).toEqual({ id: 'ch_1', reference: 'a' })
  })

  test('answers twice: the second answer is no answer to the next request', async () => {
    await provider.change({ plans: { a: ['answer-twice'] } })
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
    const next = await ask('u', { reference: 'b' }).catch((error: Error) => error.message)
    expect([{ id: 'ch_2', reference: 'b' }, 'fetch failed', 'asked for b, told of a']).toContainEqual(next)
  })

  test('is down: nobody listens; up again, it remembers', async () => {
    await ask('t')
    await provider.close()
    expect(await rejection(ask('t'))).toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    await provider.open()
    expect(await ask('t')).toEqual({ id: 'ch_1', reference: 'a' })
  })

  test('draws its faults from the seed: the same for the same reference and request', async () => {
    await provider.change({ odds: { decline: 0.5 }, troubles: 1 })
    const draw = async (): Promise<string[]> => {
      const answers: string[] = []
      for (let index = 0; index < 20; index++)
        answers.push(
          await ask(`t${index}`, { reference: `${index}` }).then(
            () => 'charged',
            (error: { status: number }) => `${error.status}`,
          ),
        )
      return answers
    }
    const drawn = await draw()
    expect(new Set(drawn)).toEqual(new Set(['charged', '402']))
    await provider.stop()
    provider = await PaymentProcess.start({ odds: { decline: 0.5 }, troubles: 1 })
    client = new PaymentClient(provider.url, 'test')
    expect(await draw()).toEqual(drawn)
  })
})
