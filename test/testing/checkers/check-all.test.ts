import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CheckerName, Violation } from '../../../src/testing/index.ts'
import {
  checkAll,
  checkerNames,
  checkers,
  explain,
  historyFromLines,
  historyToLines,
  Reading,
  seededRandom,
} from '../../../src/testing/index.ts'
import type { Shape } from './correct-history.ts'
import { correctHistory, optionsOf } from './correct-history.ts'
import { corruptions } from './corruptions.ts'
import { consumer, effect, end, publish } from './operations.ts'

const shapes: fc.Arbitrary<Shape> = fc.record({
  seed: fc.nat(),
  messages: fc.integer({ min: 1, max: 60 }),
  order: fc.constantFrom('key', 'total', 'causal'),
  onExhausted: fc.constantFrom('hold', 'skip'),
  end: fc.constantFrom('none', 'early', 'quiet', 'quiet, waiting told'),
})

const namesOf = (violations: readonly Violation[]): CheckerName[] => violations.map(({ checker }) => checker)

describe('all checkers', () => {
  test('accuse nobody in a history in which every promise was kept', () => {
    const judged = fc.property(shapes, (shape) => {
      const history = correctHistory(shape)
      expect(explain(checkAll(history, optionsOf(shape)), history)).toBe('No violation was found.\n')
    })
    fc.assert(judged, { numRuns: 400 })
  })

  test.for(Object.keys(corruptions))('one corruption of such a history, "%s", is noticed by the right checker', (name) => {
    let done = 0
    const judged = fc.property(shapes, fc.nat(), (shape, chosen) => {
      const random = seededRandom(chosen)
      const pick = <T>(of: readonly T[]): T | undefined => of[Math.floor(random() * of.length)]
      const corrupted = corruptions[name]?.(correctHistory(shape), shape, pick)
      fc.pre(corrupted !== undefined)
      done++
      const violations = checkAll(corrupted.history, optionsOf(shape))
      expect(namesOf(violations), explain(violations, corrupted.history)).toContain(corrupted.noticedBy)
      for (const { evidence } of violations) {
        expect(evidence.length).toBeGreaterThan(0)
        expect(evidence.every((index) => index in corrupted.history)).toBe(true)
      }
    })
    fc.assert(judged, { numRuns: 40, maxSkipsPerRun: 200 })
    expect(done).toBeGreaterThanOrEqual(40)
  })

  test('every checker has a corruption that only it must notice', () => {
    const noticed = new Set<CheckerName>()
    const shape: Shape = { seed: 1, messages: 40, order: 'key', onExhausted: 'hold', end: 'quiet' }
    const variants = (['key', 'total', 'causal'] as const).flatMap((order) => [
      { ...shape, order },
      { ...shape, order, end: 'quiet, waiting told' as const },
    ])
    for (const variant of variants.flatMap((each) => [1, 2, 3, 4, 5].map((seed) => ({ ...each, seed })))) {
      for (const corruption of Object.values(corruptions)) {
        const corrupted = corruption(correctHistory(variant), variant, (of) => of[0])
        if (corrupted !== undefined) noticed.add(corrupted.noticedBy)
      }
    }
    expect([...noticed].sort()).toEqual([...checkerNames].sort())
  })

  test('one corruption of a history that went through lines is noticed all the same', () => {
    const shape: Shape = { seed: 4, messages: 30, order: 'key', onExhausted: 'hold', end: 'quiet' }
    const history = historyFromLines(historyToLines(correctHistory(shape)))
    expect(history).toEqual(correctHistory(shape))
    expect(checkAll(history, optionsOf(shape))).toEqual([])
  })

  test('weaker semantics promise less, by group', () => {
    const history = [
      consumer,
      { ...consumer, group: 'board' },
      publish('a'),
      publish('b'),
      effect('a'),
      effect('a'),
      effect('b'),
      end,
    ]
    expect(namesOf(checkAll(history))).toEqual(['no-loss', 'no-loss', 'no-duplicate-effect'])
    expect(namesOf(checkAll(history, { semantics: 'at-least-once' }))).toEqual(['no-loss', 'no-loss'])
    expect(namesOf(checkAll(history, { semantics: 'at-most-once' }))).toEqual(['no-duplicate-effect'])
    expect(namesOf(checkAll(history, { semantics: { ledger: 'at-least-once', board: 'at-most-once' } }))).toEqual([])
  })

  test('share one reading', () => {
    const reading = new Reading([publish('a'), effect('a'), effect('a')])
    expect(checkerNames.flatMap((name) => checkers[name](reading))).toHaveLength(1)
  })

  test.for(['key', 'total', 'causal'] as const)(
    'take about as long per operation for 100,000 as for 10,000 (order %s)',
    { timeout: 60_000 },
    (order) => {
      // The processor's time, and the best of three: other tests run on this machine at the same time.
      const perOperation = (messages: number): number => {
        const history = correctHistory({ seed: 3, messages, order, onExhausted: 'hold', end: 'quiet' })
        const tookMs = [1, 2, 3].map(() => {
          const began = process.cpuUsage()
          expect(checkAll(history, optionsOf({ order, onExhausted: 'hold' }))).toEqual([])
          return process.cpuUsage(began).user / 1_000
        })
        return Math.min(...tookMs) / history.length
      }
      perOperation(1_800)
      expect(perOperation(18_000) / perOperation(1_800)).toBeLessThan(5)
    },
  )
})

describe('explain', () => {
  const history = [consumer, publish('a'), effect('a'), effect('a'), publish('b'), end]
  test('shows the smallest violating set of operations and one sentence', () => {
    expect(explain(checkAll(history), history)).toBe(
      [
        'no-loss: 1 violation',
        '  b of topic orders was published, and at the end group ledger has neither applied it nor is it anywhere to be seen.',
        `    4  ${JSON.stringify(history[4])}`,
        `    5  ${JSON.stringify(history[5])}`,
        'no-duplicate-effect: 1 violation',
        '  a of topic orders was applied again by group ledger.',
        `    2  ${JSON.stringify(history[2])}`,
        `    3  ${JSON.stringify(history[3])}`,
        '',
      ].join('\n'),
    )
  })

  test('names operations by their index without the history, and counts what it leaves out', () => {
    const many = [effect('a'), effect('a'), effect('a'), effect('a')]
    expect(explain(checkAll(many), undefined, { limit: 1 })).toBe(
      'no-duplicate-effect: 3 violations\n  a of topic orders was applied again by group ledger.\n    operations 0, 1\n  and 2 more\n',
    )
    expect(explain([])).toBe('No violation was found.\n')
  })
})
