import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { classifyError } from '../../src/calls/classify-error.ts'
import { CallFailed, CallUnknown, RetryLater, TerminalError } from '../../src/index.ts'

const outcomeOf = (error: unknown): string => classifyError(error).outcome
const withFields = (fields: object): Error => Object.assign(new Error('x'), fields)

describe('what a call threw', () => {
  test.each<[string, unknown]>([
    ['CallFailed', new CallFailed('no')],
    ['TerminalError', new TerminalError('never')],
    ['RetryLater', new RetryLater({ afterMs: 1 })],
    ['a class that extends CallFailed', new (class Declined extends CallFailed {})('no')],
    ['an HTTP 402', withFields({ status: 402 })],
    ['an HTTP 404 as axios gives it', withFields({ response: { status: 404 } })],
    ['an HTTP 429', withFields({ statusCode: 429 })],
    ['an HTTP 503', withFields({ status: 503 })],
    ['an SMTP 550', withFields({ responseCode: 550, code: 'EENVELOPE' })],
    ['an SMTP 451', withFields({ responseCode: 451 })],
    ['a refused connection', withFields({ code: 'ECONNREFUSED', syscall: 'connect' })],
    ['a name that does not resolve', withFields({ code: 'ENOTFOUND', syscall: 'getaddrinfo' })],
  ])('known to have failed: %s', (_, error) => {
    expect(outcomeOf(error)).toBe('failed')
  })

  test.each<[string, unknown]>([
    ['CallUnknown', new CallUnknown('who knows')],
    ['a lost connection', withFields({ code: 'ECONNRESET', syscall: 'read' })],
    ['a write to a closed socket', withFields({ code: 'EPIPE', syscall: 'write' })],
    ['an HTTP 303, which follows a form that was taken', withFields({ status: 303 })],
    ['an HTTP 500', withFields({ status: 500 })],
    ['an HTTP 502', withFields({ status: 502 })],
    ['an HTTP 504', withFields({ status: 504 })],
    ['an HTTP 408', withFields({ status: 408 })],
    ['an abort', new DOMException('aborted', 'AbortError')],
    ['a bug in the call itself', new TypeError('x is not a function')],
    [
      'one refused address and one that was reached',
      new AggregateError([
        withFields({ code: 'ECONNREFUSED', syscall: 'connect' }),
        withFields({ code: 'ECONNRESET', syscall: 'read' }),
      ]),
    ],
    ['undefined', undefined],
    ['a text', 'no'],
    [
      'a proxy that throws',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('hostile')
          },
          getPrototypeOf: () => {
            throw new Error('hostile')
          },
        },
      ),
    ],
  ])('unknown: %s', (_, error) => {
    expect(outcomeOf(error)).toBe('unknown')
  })

  test.each<[string, unknown, 'failed' | 'unknown']>([
    ['CallFailed', new CallFailed('no'), 'failed'],
    ['TerminalError', new TerminalError('never'), 'failed'],
    ['an HTTP 402', withFields({ status: 402 }), 'failed'],
    ['RetryLater', new RetryLater({ afterMs: 1 }), 'unknown'],
    ['an HTTP 401', withFields({ status: 401 }), 'unknown'],
    ['an HTTP 409', withFields({ status: 409 }), 'unknown'],
    ['an HTTP 422', withFields({ status: 422 }), 'unknown'],
    ['an HTTP 429', withFields({ status: 429 }), 'unknown'],
    ['an HTTP 503', withFields({ status: 503 }), 'unknown'],
    ['an SMTP 550', withFields({ responseCode: 550 }), 'unknown'],
    ['a refused connection', withFields({ code: 'ECONNREFUSED', syscall: 'connect' }), 'unknown'],
    ['a CallUnknown with a status', Object.assign(new CallUnknown('who knows'), { status: 402 }), 'unknown'],
  ])('what %s says of an earlier request under the same token', (_, error, earlier) => {
    expect(classifyError(error).earlier).toBe(earlier)
  })

  test('fetch against real sockets: nobody listens is a failure, a connection cut before the answer is unknown', async () => {
    const server = createServer((request) => request.socket.destroy())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const thrown = async (): Promise<unknown> =>
      await fetch(url, { method: 'POST' }).then(
        () => 'answered',
        (error: unknown) => error,
      )
    expect(outcomeOf(await thrown())).toBe('unknown')
    await new Promise((resolve) => server.close(resolve))
    expect(outcomeOf(await thrown())).toBe('failed')
  })

  test('what is recorded has a name, a code and a message, each bounded', () => {
    expect(classifyError(new CallFailed('card declined', { code: 'declined' })).record).toEqual({
      name: 'CallFailed',
      code: 'declined',
      message: 'card declined',
    })
    expect(classifyError(withFields({ status: 402 })).record.code).toBe('402')
    expect(classifyError(withFields({ message: 'x'.repeat(10_000) })).record.message).toHaveLength(2_048)
  })
})
