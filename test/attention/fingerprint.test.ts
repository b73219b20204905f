import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fingerprintOf } from '../../src/attention/fingerprint.ts'
import { toCanonicalJson } from '../../src/canonical-json.ts'
import { OnefoldError } from '../../src/errors.ts'

class PaymentError extends Error {}

/** An error with the stack an engine would have written. */
function thrown(stack: string, error: Error & { code?: string } = new Error('insufficient funds')): Error {
  error.stack = `${error.name}: ${error.message}\n${stack}`
  return error
}

const fingerprint = (stack: string, error?: Error) =>
  fingerprintOf(thrown(stack, error), { ownRoot: '/srv/onefold/src' }).fingerprint

const plain = '    at applyPayment (/srv/app/ledger.ts:10:5)'

describe('the fingerprint of an error', () => {
  test('is 12 hexadecimal digits, stored, and never changes', () => {
    expect(fingerprint(plain)).toBe('83a988e9e7a4')
  })

  test.each([
    ['another line', '    at applyPayment (/srv/app/ledger.ts:99:1)'],
    ['another directory', '    at applyPayment (/home/me/app/src/ledger.ts:10:5)'],
    ['a file URL', '    at applyPayment (file:///srv/app/ledger.ts:10:5)'],
    ['a file URL with a query', '    at applyPayment (file:///srv/app/ledger.ts?v=7:10:5)'],
    ['a path with a query', '    at applyPayment (/srv/app/ledger.ts?v=7:10:5)'],
    ['a directory beside Onefold that begins like it', '    at applyPayment (/srv/onefold/src-of-mine/ledger.ts:10:5)'],
    ['a directory with spaces and parentheses', '    at applyPayment (file:///srv/my%20app%20(1)/ledger.ts:10:5)'],
    ['a plain path with parentheses', '    at applyPayment (/srv/my app (1)/ledger.ts:10:5)'],
    ['Windows', '    at applyPayment (C:\\app\\ledger.ts:10:5)'],
    ['an await before it', '    at async applyPayment (/srv/app/ledger.ts:10:5)'],
    ['a method alias', '    at applyPayment [as apply] (/srv/app/ledger.ts:10:5)'],
    ['other callers', `${plain}\n    at main (/srv/app/main.ts:1:1)`],
    ['the driver that threw', `    at parse (/srv/app/node_modules/pg/lib/parser.js:1:1)\n${plain}`],
    ['a driver on Windows', `    at parse (C:\\app\\node_modules\\pg\\lib\\parser.js:1:1)\n${plain}`],
    ['Node itself', `    at StatementSync.run (node:sqlite:1:1)\n    at node:internal/process/task_queues:105:5\n${plain}`],
    [
      'Onefold itself',
      `    at run (file:///srv/onefold/src/consume/loop.ts:1:1)\n    at x (/srv/onefold/src/app.ts:4:4)\n${plain}`,
    ],
    ['frames without a file', `    at Array.map (<anonymous>)\n    at native\n    at async Promise.all (index 0)\n${plain}`],
    ['evaluated code', `    at eval (eval at run (/srv/app/other.ts:1:2), <anonymous>:1:1)\n${plain}`],
  ])('is the same with %s', (_what, stack) => {
    expect(fingerprint(stack)).toBe(fingerprint(plain))
  })

  test('does not depend on the message, not even on one that looks like a stack', () => {
    const noisy = new Error('payment 7 of acc-1042 refused\n    at somewhereElse (/srv/app/else.ts:1:1)')
    expect(fingerprint(plain, noisy)).toBe(fingerprint(plain))
    expect(fingerprint(plain, new Error(''))).toBe(fingerprint(plain))
  })

  test.each([
    ['another function', fingerprint('    at refund (/srv/app/ledger.ts:10:5)')],
    ['a file of another name', fingerprint('    at applyPayment (/srv/app/bank.ts:10:5)')],
    ['another class', fingerprint(plain, new TypeError('x'))],
    ['a class that never set its name', fingerprint(plain, new PaymentError('x'))],
    ['a code', fingerprint(plain, Object.assign(new Error('x'), { code: 'SQLITE_CONSTRAINT' }))],
  ])('differs for %s', (_what, other) => {
    expect(other).not.toBe(fingerprint(plain))
  })

  test('of a function without a name is its file', () => {
    const arrow = fingerprint('    at file:///srv/app/ledger.ts:10:5')
    expect(fingerprint('    at async file:///srv/app/ledger.ts:22:9')).toBe(arrow)
    expect(fingerprint('    at /srv/app/ledger.ts:22:9')).toBe(arrow)
    expect(fingerprint('    at /srv/app/bank.ts:22:9')).not.toBe(arrow)
  })

  test('looks for the user in what caused the error when the error itself is from elsewhere', () => {
    const wrapped = (cause: unknown) =>
      fingerprint('    at run (/srv/onefold/src/consume/loop.ts:1:1)', new OnefoldError('APPLY_CRASHED', 'x', { cause }))
    const one = wrapped(thrown(plain))
    expect(wrapped(thrown('    at applyPayment (/elsewhere/ledger.ts:77:7)'))).toBe(one)
    expect(wrapped(thrown('    at refund (/srv/app/ledger.ts:10:5)'))).not.toBe(one)
  })

  test('is that of the first package when no frame is the user’s, and of the class and code when there is none at all', () => {
    const driver = fingerprint('    at parse (/srv/app/node_modules/pg/lib/parser.js:1:1)')
    expect(fingerprint('    at read (/srv/app/node_modules/pg/lib/reader.js:1:1)')).not.toBe(driver)
    expect(fingerprint('')).not.toBe(driver)
    expect(fingerprint('', new OnefoldError('MESSAGE_INVALID', 'x'))).not.toBe(
      fingerprint('', new OnefoldError('APPLY_CRASHED', 'x')),
    )
  })

  test('of an error really thrown names the function that threw it, not Onefold’s that caught it', () => {
    function throwing(message: string): Error {
      try {
        JSON.parse(message)
      } catch (error) {
        return error as Error
      }
      throw new Error('unreachable')
    }
    function otherThrowing(): Error {
      try {
        JSON.parse('{')
      } catch (error) {
        return error as Error
      }
      throw new Error('unreachable')
    }
    expect(fingerprintOf(throwing('{a')).fingerprint).toBe(fingerprintOf(throwing('nonsense')).fingerprint)
    expect(fingerprintOf(otherThrowing()).fingerprint).not.toBe(fingerprintOf(throwing('{')).fingerprint)
    function refusedByOnefold(): unknown {
      try {
        return toCanonicalJson(undefined)
      } catch (error) {
        return error
      }
    }
    const source = fileURLToPath(new URL('../../src/', import.meta.url))
    const { fingerprint } = fingerprintOf(refusedByOnefold())
    expect(fingerprint).toBe(fingerprintOf(refusedByOnefold(), { ownRoot: source }).fingerprint)
    expect(fingerprint).not.toBe(fingerprintOf(refusedByOnefold(), { ownRoot: '/elsewhere' }).fingerprint)
  })
})

describe('the record of an error', () => {
  test('has the class, the message, and the stack with those of its causes', () => {
    const cause = thrown('    at connect (/srv/app/bank.ts:3:3)', new TypeError('no route'))
    const record = fingerprintOf(thrown(plain, new PaymentError('refused', { cause })))
    expect(record.errorName).toBe('PaymentError')
    expect(record.errorMessage).toBe('refused')
    expect(record.errorStack).toBe(
      'Error: refused\n    at applyPayment (/srv/app/ledger.ts:10:5)\nCaused by: TypeError: no route\n    at connect (/srv/app/bank.ts:3:3)',
    )
  })

  test('has the errors gathered in one, but no list of issues that is only called so', () => {
    const gathered = new AggregateError([new Error('first'), new Error('second')], 'all failed')
    expect(fingerprintOf(gathered).errorStack).toMatch(/all failed[\s\S]*Caused by: Error: first[\s\S]*Caused by: Error: second/)
    const issues = Object.assign(new Error('invalid'), { errors: [{ path: 'amount' }] })
    expect(fingerprintOf(issues).errorStack).not.toContain('Caused by')
  })

  test('stops at causes that go round in a circle, or on and on', () => {
    const a = new Error('a')
    const b = new Error('b', { cause: a })
    a.cause = b
    expect(fingerprintOf(a).errorStack.match(/Caused by/g)?.length).toBe(1)
    let deep = new Error('0')
    for (let i = 1; i < 100; i++) deep = new Error(String(i), { cause: deep })
    expect(fingerprintOf(deep).errorStack.match(/Caused by/g)?.length).toBeLessThan(10)
  })

  test('is bounded: 200 characters of name, 2,048 of message, 8,192 of stack', () => {
    const huge = new Error('😀'.repeat(100_000), { cause: new Error('y'.repeat(100_000)) })
    huge.name = 'N'.repeat(1000)
    const record = fingerprintOf(huge)
    expect(record.errorName.length).toBe(200)
    expect(record.errorMessage.length).toBe(2048)
    expect(record.errorStack.length).toBe(8192)
  })

  test('is made quickly of a stack that is neither short nor a stack', () => {
    const error = new Error('x')
    error.stack = '    at ( (:1 '.repeat(200_000) + '\n    at ( (:1'.repeat(200_000)
    const begun = performance.now()
    fingerprintOf(error)
    expect(performance.now() - begun).toBeLessThan(200)
  })

  test('is text that every database stores', () => {
    const record = fingerprintOf(new Error(`\0 ${'x'.repeat(2043)}😀 \ud83d`))
    for (const text of Object.values(record)) {
      expect(text.isWellFormed()).toBe(true)
      expect(text).not.toContain('\0')
    }
  })

  test.each<[string, unknown, string, string]>([
    ['a string', 'boom', 'string', 'boom'],
    ['undefined', undefined, 'undefined', 'undefined'],
    ['null', null, 'null', 'null'],
    ['a number', 42, 'number', '42'],
    ['a bigint', 42n, 'bigint', '42n'],
    ['a symbol', Symbol('x'), 'symbol', 'Symbol(x)'],
    ['an object', { status: 503 }, 'Object', '{ status: 503 }'],
    ['an object with a message', { message: 'busy' }, 'Object', 'busy'],
    ['an object without a prototype', Object.create(null), 'object', '[Object: null prototype] {}'],
    ['a function', function fail() {}, 'fail', '[Function: fail]'],
  ])('is made of %s too', (_what, error, errorName, errorMessage) => {
    const record = fingerprintOf(error)
    expect(record).toMatchObject({ errorName, errorMessage, errorStack: `${errorName}: ${errorMessage}` })
    expect(record.fingerprint).toMatch(/^[0-9a-f]{12}$/)
  })

  test('has the class and the message where the stack was taken away', () => {
    expect(fingerprintOf(Object.assign(new Error('x'), { stack: '' })).errorStack).toBe('Error: x')
    expect(fingerprintOf(Object.assign(new Error('x'), { stack: undefined })).errorStack).toBe('Error: x')
  })

  test('is made of errors that resist being read', () => {
    const trap = (property: string) =>
      Object.defineProperty(new Error('x'), property, {
        get() {
          throw new Error('no')
        },
      })
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const alwaysThrows = new Proxy(
      {},
      {
        get() {
          throw new Error('no')
        },
        getPrototypeOf() {
          throw new Error('no')
        },
        ownKeys() {
          throw new Error('no')
        },
      },
    )
    const resisting = [
      ...['name', 'message', 'stack', 'cause', 'errors', 'code', 'constructor'].map(trap),
      Object.assign(new Error('x'), { name: 7, message: {}, stack: [], cause: proxy, errors: proxy, code: Symbol('x') }),
      Object.assign(new AggregateError([]), { errors: new Proxy([], { get: () => proxy }) }),
      { toString: () => '', [Symbol.for('nodejs.util.inspect.custom')]: () => JSON.parse('{') },
      proxy,
      alwaysThrows,
    ]
    for (const error of resisting) {
      const record = fingerprintOf(error)
      expect(Object.values(record).every((text) => typeof text === 'string')).toBe(true)
      expect(record.fingerprint).toMatch(/^[0-9a-f]{12}$/)
    }
  })

  test('is made of anything whatever', () => {
    fc.assert(
      fc.property(
        fc.anything({ withNullPrototype: true, withBoxedValues: true }),
        fc.anything(),
        fc.string(),
        (value, cause, stack) => {
          fingerprintOf(value)
          fingerprintOf(Object.assign(new Error('x', { cause }), { stack }))
        },
      ),
    )
  })
})
