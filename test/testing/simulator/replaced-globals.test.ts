import { createServer, Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Surroundings } from '../../../src/runtime/replaced-globals.ts'
import { replaceGlobals } from '../../../src/runtime/replaced-globals.ts'

const now = () => {
  const { fetch, setTimeout, setInterval, setImmediate, clearTimeout, clearInterval } = globalThis
  return { Date: globalThis.Date, fetch, setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, random: Math.random }
}
const real = now()
const { connect } = Socket.prototype

/** A clock that stands still, and timers that fire when they are told to. */
class Surrounding implements Surroundings {
  nowMs = Date.UTC(2020, 0, 2, 3, 4, 5)
  readonly timers: { readonly ms: number; readonly task: () => void; cancelled: boolean }[] = []
  random = (): number => 0.25
  timer(ms: number, task: () => void): { cancel(): void } {
    const timer = { ms, task, cancelled: false }
    this.timers.push(timer)
    return {
      cancel() {
        timer.cancelled = true
      },
    }
  }
  refuse(what: string): never {
    throw new Error(`refused: ${what}`)
  }
}

let surrounding: Surrounding | undefined
afterEach(() => {
  surrounding = undefined
})
const replaced = (): Disposable => replaceGlobals(() => surrounding)

test('when it is disposed of, everything is as it was before', () => {
  replaced()[Symbol.dispose]()
  for (const [name, value] of Object.entries(real)) expect(now()[name as keyof typeof real], name).toBe(value)
  expect(Socket.prototype.connect).toBe(connect)
})

test('outside every simulated process the real clock, chance and timers go on', async () => {
  using globals = replaced()
  expect(Math.abs(Date.now() - real.Date.now())).toBeLessThan(1_000)
  expect(Math.abs(Date.parse(new Date().toISOString()) - real.Date.now())).toBeLessThan(1_000)
  expect(new Set([Math.random(), Math.random(), Math.random()]).size).toBe(3)
  await new Promise((resolve) => setTimeout(resolve, 1))
  await new Promise((resolve) => setImmediate(resolve))
  const timer = setTimeout(() => expect.unreachable('it was cleared'), 1)
  clearTimeout(timer)
  const interval = setInterval(() => expect.unreachable('it was cleared'), 1)
  clearInterval(interval)
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(globals).toBeDefined()
})

test('inside, time is the one it is told', () => {
  using globals = replaced()
  surrounding = new Surrounding()
  expect(Date.now()).toBe(surrounding.nowMs)
  expect(new Date().toISOString()).toBe('2020-01-02T03:04:05.000Z')
  surrounding.nowMs += 60_000
  expect(new Date().toISOString()).toBe('2020-01-02T03:05:05.000Z')
  // Only the present is simulated: dates that are given are what they were, and are dates.
  expect(new Date('2001-02-03T00:00:00Z').getUTCFullYear()).toBe(2001)
  expect(new Date(2001, 1, 3).getFullYear()).toBe(2001)
  expect(new Date(0).getTime()).toBe(0)
  expect(Date.UTC(1970, 0, 1)).toBe(0)
  expect(Date.parse('1970-01-01T00:00:00Z')).toBe(0)
  expect(new Date()).toBeInstanceOf(real.Date)
  expect(Math.random()).toBe(0.25)
  expect(globals).toBeDefined()
})

test('inside, timers wait for the world, hand on what they were given, and can be cleared', () => {
  using globals = replaced()
  surrounding = new Surrounding()
  const heard: unknown[] = []
  setTimeout((word: string) => heard.push(word), 30, 'timeout')
  setImmediate((word: string) => heard.push(word), 'immediate')
  const cleared = setTimeout(() => heard.push('never'), 40)
  clearTimeout(cleared)
  expect(heard).toEqual([])
  const { timers } = surrounding
  expect(timers.map(({ ms, cancelled }) => [ms, cancelled])).toEqual([
    [30, false],
    [0, false],
    [40, true],
  ])
  for (const { task, cancelled } of timers) if (!cancelled) task()
  expect(heard).toEqual(['timeout', 'immediate'])
  // Programs ask these of a timer.
  expect(() => cleared.unref()).not.toThrow()
  expect(() => clearTimeout(undefined)).not.toThrow()
  expect(globals).toBeDefined()
})

test('inside, an interval comes again until it is cleared', () => {
  using globals = replaced()
  surrounding = new Surrounding()
  const { timers } = surrounding
  let times = 0
  const interval = setInterval(() => times++, 10)
  timers[0]?.task()
  timers[1]?.task()
  expect(times).toBe(2)
  expect(timers.length).toBe(3)
  clearInterval(interval)
  expect(timers.at(-1)?.cancelled).toBe(true)
  expect(globals).toBeDefined()
})

test('a virtual clock stays in whole milliseconds, whatever a timer is given: it is taken as Node takes it', () => {
  using globals = replaced()
  surrounding = new Surrounding()
  const { timers } = surrounding
  for (const ms of [7.9, 0, -5, Number.NaN, Number.POSITIVE_INFINITY]) setTimeout(() => undefined, ms)
  setTimeout(() => undefined)
  expect(timers.map(({ ms }) => ms)).toEqual([7, 1, 1, 1, 1, 1])
  expect(globals).toBeDefined()
})

test('inside, what goes over a network is refused by name, and nothing is sent', async () => {
  const server = createServer(() => expect.unreachable('somebody got through'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  try {
    using globals = replaced()
    surrounding = new Surrounding()
    const url = `http://127.0.0.1:${port}/`
    expect(() => fetch(url)).toThrow(`refused: fetch(${url})`)
    expect(() => fetch(new Request(url))).toThrow(`refused: fetch(${url})`)
    expect(() => fetch(new URL(url))).toThrow(`refused: fetch(${url})`)
    expect(() => new Socket().connect(port, '127.0.0.1')).toThrow('refused: a network connection')
    expect(globals).toBeDefined()
  } finally {
    surrounding = undefined
    server.close()
  }
})
