import { describe, expect, test } from 'vitest'
import { renderStory } from '../../../src/testing/simulator/report.ts'

const moments = (count: number) => Array.from({ length: count }, (_, atMs) => ({ atMs, who: 'worker 1', what: `does ${atMs}` }))

describe('a story', () => {
  test('of up to 200 moments is told whole, a line each, with the place in the user’s file where there is one', () => {
    expect(renderStory(moments(200)).split('\n')).toHaveLength(200)
    expect(renderStory([{ atMs: 7, who: 'worker 1', what: 'writes', place: 'app.ts:3' }])).toBe(
      '      7 ms  worker 1  writes  (app.ts:3)',
    )
  })

  test('without an end is told by its beginning and its last moments, and says how many are left out', () => {
    const lines = renderStory(moments(60_000)).split('\n')
    expect(lines).toHaveLength(201)
    expect(lines[149]).toContain('does 149')
    expect(lines[150]).toBe('  … 59,800 moments are left out; `failure.story` has them …')
    expect(lines[151]).toContain('does 59950')
    expect(lines[200]).toContain('does 59999')
  })
})
