import { expect, test } from 'vitest'
import { Decisions } from '../../../src/testing/simulator/decisions.ts'
import { placeOf } from '../../../src/testing/simulator/place-of.ts'
import { telling } from '../../../src/testing/simulator/places.ts'
import { Incarnation, World } from '../../../src/testing/simulator/world.ts'

/** An error whose stack is what somebody's runtime writes. */
function from(...frames: string[]): Error {
  const error = new Error('here')
  error.stack = ['Error: here', ...frames.map((frame) => `    at ${frame}`)].join('\n')
  return error
}

const src = new URL('../../../src/', import.meta.url)

test.for([
  ['a function, by URL', 'book (file:///home/me/shop/ledger.ts:12:5)', 'ledger.ts:12'],
  ['a module, by URL', 'file:///home/me/shop/ledger.ts:3:1', 'ledger.ts:3'],
  ['an asynchronous function', 'async Object.apply (file:///home/me/shop/ledger.ts:44:9)', 'ledger.ts:44'],
  ['a module that waits', 'async file:///home/me/shop/main.ts:9:1', 'main.ts:9'],
  ['by path, as test runners write it', 'Object.apply (/home/me/shop/ledger.ts:44:9)', 'ledger.ts:44'],
  ['by path, without a name', '/home/me/shop/ledger.ts:44:9', 'ledger.ts:44'],
  ['on Windows, by path', String.raw`apply (C:\me\shop\ledger.ts:7:1)`, 'ledger.ts:7'],
  ['on Windows, by URL', 'apply (file:///C:/me/shop/ledger.ts:7:1)', 'ledger.ts:7'],
  ['with a space in its name', 'apply (file:///home/me/my%20ledger.ts:7:1)', 'my ledger.ts:7'],
  ['with brackets in its path', 'apply (/home/me/app/(shop)/ledger.ts:7:1)', 'ledger.ts:7'],
  ['loaded again', 'apply (file:///home/me/shop/ledger.ts?t=1700000000:7:1)', 'ledger.ts:7'],
] as const)('a place is a file and a line: %s', ([, frame, place]) => {
  expect(placeOf(from(frame))).toBe(place)
})

test('the first line that is the user’s is named: not ours, not a package’s, not Node’s', () => {
  const ours = new URL('onefold.ts', src)
  const frames = [
    `OnefoldApp.consume (${ours.href}:170:5)`,
    `OnefoldApp.consume (${decodeURIComponent(ours.pathname)}:170:5)`,
    'run (file:///home/me/shop/node_modules/left-pad/index.js:1:1)',
    'new Promise (<anonymous>)',
    'node:internal/process/task_queues:105:5',
    'process.processTicksAndRejections (node:internal/process/task_queues:105:5)',
  ]
  expect(placeOf(from(...frames, 'file:///home/me/shop/app.ts:3:1'))).toBe('app.ts:3')
  expect(placeOf(from(...frames))).toBeUndefined()
})

test('an error without a stack has no place', () => {
  const error = new Error('here')
  delete error.stack
  expect(placeOf(error)).toBeUndefined()
})

test('under this very test runner, this file is a place', () => {
  expect(placeOf(new Error('here'))).toMatch(/^places\.test\.ts:\d+$/)
})

const world = (story: boolean): World => new World({ decisions: Decisions.following(new Map()), startMs: 0, freezeMs: 1, story })

test('what a handler does with its context is told, with the line; nobody listening, the context is itself', () => {
  const done: string[] = []
  const context = {
    message: { id: 'm1' },
    tx: { run: (sql: string) => done.push(sql), name: 'tx' },
    publish: (topic: { name: string }) => done.push(`publish ${topic.name}`),
  }
  const self = new Incarnation('worker 1', 1, 1)
  expect(telling(world(false), self, context)).toBe(context)

  const listening = world(true)
  const told = telling(listening, self, context)
  told.tx.run(`insert   into\n entry values (${'?, '.repeat(60)}?)`)
  told.publish({ name: 'booked' })
  expect(told.message).toBe(context.message)
  expect(told.tx.name).toBe('tx')
  expect(done.length).toBe(2)
  const [sql, publish] = listening.story ?? []
  expect(sql?.what).toMatch(/^insert into entry values \(\?, .*\.\.\.$/)
  expect(sql?.what.length).toBeLessThanOrEqual(90)
  expect(sql?.place).toMatch(/^places\.test\.ts:\d+$/)
  expect(publish).toMatchObject({ who: 'worker 1', what: 'publishes to booked, with this commit' })
})
