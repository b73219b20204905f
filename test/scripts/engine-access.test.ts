import { expect, test } from 'vitest'
import { handler, numbered } from '../support/engine-access.ts'
import { rejection, sleep } from '../support/until.ts'

test('a handler is synchronous as long as what it yields is', () => {
  const said: unknown[] = []
  const add = handler(function* (first: number, second: number) {
    said.push(yield first)
    said.push(yield undefined)
    return first + second
  })
  expect(add(1, 2)).toBe(3)
  expect(said).toEqual([1, undefined])
  const failing = handler(function* () {
    yield 1
    throw new Error('at once')
  })
  expect(failing).toThrow('at once')
})

test('a handler that yields a promise goes on when it is settled, and gets what it gave or was rejected with', async () => {
  const said: unknown[] = []
  const answer = handler(function* (value: string) {
    said.push(yield 'no promise', yield sleep(1).then(() => value))
    try {
      yield Promise.reject(new Error('refused'))
    } catch (error) {
      said.push((error as Error).message)
    }
    const last: string = yield Promise.resolve('for good')
    yield Promise.reject(new Error(last))
  })('answer')
  expect(said).toEqual([])
  expect((await rejection(answer as Promise<void>)).message).toBe('for good')
  expect(said).toEqual(['no promise', 'answer', 'refused'])
})

test('question marks become numbers, but not in quotes', () => {
  expect(numbered(`select '?', "?" from t where a = ? and b in (?, ?)`)).toBe(
    `select '?', "?" from t where a = $1 and b in ($2, $3)`,
  )
})
