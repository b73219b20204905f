import { describe, expect, test } from 'vitest'
import type { DemoOptions } from '../../demo/options.ts'
import { parseOptions, UsageError } from '../../demo/options.ts'

const parse = (...args: string[]) => parseOptions(args) as DemoOptions

describe('options of the demo', () => {
  test('defaults: both topologies, at least 20,000 messages in all, at least three workers', () => {
    const options = parse()
    expect(options.messages * options.topologies.length).toBeGreaterThanOrEqual(20_000)
    expect(options.workers).toBeGreaterThanOrEqual(3)
    expect(options).toMatchObject({
      duplicates: 0.3,
      semantics: 'effectively-once',
      database: 'sqlite',
      json: false,
      dir: undefined,
    })
  })

  test('everything can be chosen', () => {
    expect(
      parse(
        '--messages',
        '1500',
        '--workers=2',
        '--kill-every-ms',
        '0',
        '--duplicates',
        '0.5',
        '--seed',
        '7',
        '--json',
        '--topology',
        'test-broker',
        '--database',
        'postgres://me@db.example/shop',
      ),
    ).toMatchObject({
      messages: 1500,
      workers: 2,
      killEveryMs: 0,
      duplicates: 0.5,
      seed: 7,
      json: true,
      topologies: ['test-broker'],
      database: 'postgres://me@db.example/shop',
    })
    expect(parseOptions(['--help'])).toBe('help')
  })

  test.each([
    [['--messages', '5'], "--messages is '5'; it must be a whole number from 100"],
    [['--messages', '1e99'], '--messages'],
    [['--workers', 'many'], "--workers is 'many'"],
    [['--workers', '2.5'], '--workers'],
    [['--kill-every-ms', '10'], '0 (never) or a whole number from 50'],
    [['--duplicates', ''], '--duplicates'],
    [['--semantics', 'exactly-once'], 'one of effectively-once, at-least-once, at-most-once'],
    [['--topology', 'kafka'], 'one of in-database, test-broker, both'],
    [['--database', 'mysql'], "--database is 'mysql'; it must be sqlite, postgres, or postgres://"],
    [['--database', 'postgres://'], '--database'],
    [['--mesages', '5'], '--mesages'],
    [['extra'], 'extra'],
  ])('%j is refused by name', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError)
    expect(() => parseOptions(args)).toThrow(message)
  })
})
