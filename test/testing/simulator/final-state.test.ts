import { expect, test } from 'vitest'
import { differenceOf } from '../../../src/testing/simulator/final-state.ts'

const state = (parts: Record<string, string[]>): Map<string, string[]> => new Map(Object.entries(parts))

test('two ends that are the same do not differ, in whatever order their rows and parts are', () => {
  expect(differenceOf(state({ a: ['x', 'y'], b: [] }), state({ b: [], a: ['y', 'x'] }))).toBeUndefined()
})

test('what is missing, what is too much and what is other than it should be each has a sentence', () => {
  expect(differenceOf(state({ a: [] }), state({ a: ['x'] }))).toBe('In a there is no x, which without faults is there.')
  expect(differenceOf(state({ a: ['x'] }), state({ a: [] }))).toBe('In a there is x, which without faults is not there.')
  expect(differenceOf(state({ a: ['x'] }), state({ a: ['y'] }))).toBe('In a there is x where, without faults, there is y.')
})

test('a row that is there twice is one too many', () => {
  expect(differenceOf(state({ a: ['x', 'x'] }), state({ a: ['x'] }))).toBe('In a there is x, which without faults is not there.')
  expect(differenceOf(state({ a: ['x'] }), state({ a: ['x', 'x'] }))).toBe('In a there is no x, which without faults is there.')
})

test('of many differences two are named', () => {
  expect(differenceOf(state({ a: ['1', '2', '3'] }), state({ a: [] }))).toBe(
    'In a there is 1 and 2 …, which without faults is not there.',
  )
})

test('a part that is wholly missing is missed', () => {
  expect(differenceOf(state({}), state({ a: ['x'] }))).toBe('In a there is no x, which without faults is there.')
})

test('a part that should not be there at all is seen: a topic to which nothing is published when nothing goes wrong', () => {
  expect(differenceOf(state({ a: [], 'topic alarms': ['x'] }), state({ a: [] }))).toBe(
    'In topic alarms there is x, which without faults is not there.',
  )
})
