import { expect, test } from 'vitest'
import { Wakeups } from '../../../src/broker/in-database/wakeups.ts'

type Listener = (touched: ReadonlySet<string> | undefined) => void

function subject() {
  let tell: Listener = () => undefined
  const wakeups = new Wakeups({
    onChange: (listener) => {
      tell = listener
      return { [Symbol.dispose]: () => undefined }
    },
  })
  const woken: string[] = []
  const never = new AbortController().signal
  const wait = (topic: string, partition: string): void =>
    void wakeups.wait(topic, partition, wakeups.version(topic, partition), never).then(() => woken.push(`${topic}/${partition}`))
  return {
    wakeups,
    wait,
    async told(...names: string[]) {
      woken.length = 0
      tell(names.length === 0 ? undefined : new Set(names))
      await Promise.resolve()
      await Promise.resolve()
      return [...woken]
    },
  }
}

test('messages in a partition wake its reader, and nobody else', async () => {
  const { wait, told } = subject()
  for (const partition of ['0', '1', '11']) wait('orders', partition)
  wait('payments', '1')
  expect(await told('orders/1')).toEqual(['orders/1'])
  expect(await told('orders/1')).toEqual([])
})

test('anything else about a topic wakes all its readers, and what is not known wakes everybody', async () => {
  const { wait, told } = subject()
  wait('orders', '0')
  wait('orders', '1')
  wait('payments', '0')
  expect(await told('orders')).toEqual(['orders/0', 'orders/1'])
  wait('orders', '0')
  expect(await told()).toEqual(['payments/0', 'orders/0'].toSorted())
})

test('a topic whose name has a slash in it is told from a partition, or woken for nothing, and never left asleep', async () => {
  const { wait, told } = subject()
  wait('a', '1')
  wait('a/1', '0')
  expect(await told('a/1/0')).toEqual(['a/1/0'])
  wait('a/1', '0')
  expect((await told('a/1')).toSorted()).toEqual(['a/1', 'a/1/0'])
})

test('what came in between a look and the wait ends the wait at once', async () => {
  const { wakeups, told } = subject()
  const before = wakeups.version('orders', '1')
  expect(wakeups.version('orders', '1')).toBe(before)
  await told('orders/0')
  expect(wakeups.version('orders', '1')).toBe(before)
  await told('orders/1')
  expect(wakeups.version('orders', '1')).not.toBe(before)
  await wakeups.wait('orders', '1', before, new AbortController().signal)
})
