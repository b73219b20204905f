import { expect, test } from 'vitest'
import { AnySignal } from '../src/any-signal.ts'

test('aborts with the first of its sources that does, and with its reason', () => {
  const [one, other] = [new AbortController(), new AbortController()]
  using either = new AnySignal([one.signal, other.signal])
  const heard: unknown[] = []
  either.signal.addEventListener('abort', () => heard.push(either.signal.reason))
  expect([either.aborted, either.signal.aborted]).toEqual([false, false])
  other.abort('the other')
  one.abort('the one')
  expect(heard).toEqual(['the other'])
  expect([either.aborted, either.signal.aborted]).toEqual([true, true])
})

test('a source that has aborted already: aborted from the start, looked at or not', () => {
  const gone = AbortSignal.abort('gone')
  using either = new AnySignal([new AbortController().signal, gone])
  expect(either.aborted).toBe(true)
  expect(either.signal.reason).toBe('gone')
})

test('a source aborts before anybody has looked at the signal: it is known all the same', () => {
  const source = new AbortController()
  using either = new AnySignal([source.signal])
  source.abort('early')
  expect(either.aborted).toBe(true)
  expect(either.signal.reason).toBe('early')
})

test('disposed, it hears of nothing any more', () => {
  const source = new AbortController()
  const either = new AnySignal([source.signal])
  const { signal } = either
  either[Symbol.dispose]()
  source.abort()
  expect(signal.aborted).toBe(false)
})
