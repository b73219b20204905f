import { describe, expect, test } from 'vitest'
import { differencesOf, snapshotOf } from '../../src/guarantee/snapshot.ts'
import { call } from '../../src/index.ts'
import { appWithCalls, callsOfEveryRule } from './app-with-calls.ts'

const snapshot = (options?: Parameters<typeof appWithCalls>[0]): unknown =>
  JSON.parse(snapshotOf(appWithCalls(options).explain()))
const made = async (): Promise<string> => 'made'
const where = "consume('orders', 'payout').calls.mail"

describe('the snapshot of a guarantee', () => {
  test('holds facts only: no sentence, no version', () => {
    const text = snapshotOf(appWithCalls().explain())
    expect(text).not.toMatch(/"says"|"holds"|"version"/)
    expect(text).toContain('"rule": "probe"')
    expect(text).toContain('"where": "consume(\'orders\', \'payout\').calls.charge"')
  })

  test('of the same configuration is the same', () => {
    expect(snapshotOf(appWithCalls().explain())).toBe(snapshotOf(appWithCalls().explain()))
    expect(differencesOf(snapshot(), snapshot())).toEqual([])
  })

  test('tells when the rule of a call has changed, and what that weakens', () => {
    const changed = snapshot({ calls: { ...callsOfEveryRule, mail: call(made) } })
    const differences = differencesOf(snapshot(), changed)
    const ofCall = 'consumers[orders/payout].calls[mail]'
    expect(differences).toContainEqual({ path: `${ofCall}.rule`, was: '"ask-person"', is: '"repeat"' })
    expect(differences).toContainEqual({
      path: `${ofCall}.weakenedBy[whenUnknown in ${where}]`,
      was: undefined,
      is: JSON.stringify({ option: 'whenUnknown', value: 'repeat', where }),
    })
  })

  test('tells of a call that is gone and one that is new, and nothing about their neighbours', () => {
    const { mail: _, ...others } = callsOfEveryRule
    const differences = differencesOf(snapshot(), snapshot({ calls: { ...others, another: callsOfEveryRule.mail } }))
    expect(differences.map(({ path }) => path)).toEqual([
      'consumers[orders/payout].calls[mail]',
      'consumers[orders/payout].calls[another]',
    ])
  })

  test.each([
    ['database', { database: { synchronous: 'NORMAL' } }, 'database.claims.committed means on disk'],
    ['topic', { topic: { idReuse: 'ignore' } }, 'topics[orders].idReuse.is'],
    ['consumer', { consume: { maxAttempts: 3 } }, 'consumers[orders/payout].attempts.maxAttempts'],
    ['refusal', { database: { synchronous: 'NORMAL' } }, 'refusals[synchronous in orders/payout]'],
  ] as const)('tells of a change of a %s', (_name, options, path) => {
    expect(differencesOf(snapshot(), snapshot(options)).map((one) => one.path)).toContain(path)
  })

  test('the order of elements does not count', () => {
    const element = (name: string): object => ({ name, value: 1 })
    expect(differencesOf([element('a'), element('b')], [element('b'), element('a')])).toEqual([])
    expect(differencesOf([element('a'), element('a')], [element('a')])).toEqual([
      { path: '[a 1]', was: '{"name":"a","value":1}', is: undefined },
    ])
  })
})
