import { describe, expect, test } from 'vitest'
import { isOnefoldError } from '../../src/index.ts'
import type { History } from '../../src/testing/index.ts'
import { historyFromLines, historyToLines } from '../../src/testing/index.ts'

const history: History = [
  { op: 'consumer', topic: 'orders', group: 'ledger' },
  { op: 'publish', topic: 'orders', identity: 'shop/1', key: 'k', outcome: 'unknown', producer: 'p', order: 1 },
  { op: 'effect', topic: 'orders', group: 'ledger', identity: 'shop/1', outcome: 'happened', place: [1, 7] },
  { op: 'end', quiet: true, waiting: [] },
]

describe('a history as lines', () => {
  test('comes back as it was', () => {
    expect(historyToLines(history).split('\n')).toHaveLength(5)
    expect(historyFromLines(historyToLines(history))).toEqual(history)
    expect(historyFromLines('')).toEqual([])
    expect(historyFromLines(`\n${historyToLines(history)}\n\n`)).toEqual(history)
  })

  test('of a process that was killed while writing loses its last line only', () => {
    const text = historyToLines(history)
    expect(historyFromLines(text.slice(0, -10))).toEqual(history.slice(0, -1))
    expect(historyFromLines(text.slice(0, -1)), 'only the line break is missing').toEqual(history)
  })

  test.for([
    ['{"op":"publish","topic":"t","outcome":"happened"}\n', 'history line 1: identity'],
    ['{"op":"publish","topic":"t","identity":"a","outcome":"perhaps"}\n', 'history line 1: outcome'],
    ['\n{"op":"toString"}\n', 'history line 2: op'],
    ['{"op":"end"}\n', 'history line 1: quiet'],
    ['null\n', 'history line 1'],
    ['{"op":\n{"op":"end","quiet":true}\n', 'history line 1'],
  ] as const)('%j is refused, naming the line and the field', ([text, option]) => {
    let error: unknown
    try {
      historyFromLines(text)
    } catch (thrown) {
      error = thrown
    }
    expect(isOnefoldError(error, 'OPTION_INVALID') && error.details.option).toBe(option)
  })
})
