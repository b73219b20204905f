import { randomFillSync } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import type { ProcessReference, Runtime } from '../runtime.ts'
import { WatchdogThread } from './watchdog-thread.ts'

let reference: ProcessReference | undefined

/** The real clocks, timers and randomness: the one place in `src` that may touch them. */
export function nodeRuntime(): Runtime {
  reference ??= thisProcess()
  const self = reference
  let thread: WatchdogThread | undefined
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    random: () => Math.random(),
    uuid: uuidVersion7,
    process: self,
    isAlive: (other) => isAlive(self, other),
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve()
        const wake = (): void => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, ms)
        signal?.addEventListener('abort', wake, { once: true })
      }),
    every(ms, tick) {
      const timer = setInterval(tick, ms)
      timer.unref()
      return { [Symbol.dispose]: () => clearInterval(timer) }
    },
    after(ms, task) {
      const timer = setTimeout(task, Math.min(ms, 2 ** 31 - 1))
      timer.unref()
      return { [Symbol.dispose]: () => clearTimeout(timer) }
    },
    defer: (task) => void setImmediate(task),
    watch(limitMs, what) {
      thread ??= new WatchdogThread()
      return thread.watch(limitMs, what)
    },
    die(why) {
      console.error(`onefold: ${why.message}`)
      process.kill(process.pid, 'SIGKILL')
      // SIGKILL is not survived, but it may take a moment to arrive.
      for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    },
  }
}

const pool = new Uint8Array(4_096)
let poolAt = pool.length
let lastMs = 0
let counter = 0
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** RFC 9562: 48 bits of milliseconds, a counter that keeps one process's ids in order, then 62 random bits. */
function uuidVersion7(): string {
  if (poolAt + 10 > pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  const at = poolAt
  poolAt += 10
  const byte = (index: number): number => pool[at + index] as number
  const now = Date.now()
  if (now > lastMs) {
    lastMs = now
    counter = byte(0) & 0x7f
  } else if (++counter > 0xfff) {
    lastMs++
    counter = byte(0) & 0x7f
  }
  const high = Math.floor(lastMs / 0x1_0000)
  const low = lastMs % 0x1_0000
  return `${high.toString(16).padStart(8, '0')}-${low.toString(16).padStart(4, '0')}-7${counter.toString(16).padStart(3, '0')}-${hex[(byte(1) & 0x3f) | 0x80]}${hex[byte(2)]}-${hex[byte(3)]}${hex[byte(4)]}${hex[byte(5)]}${hex[byte(6)]}${hex[byte(7)]}${hex[byte(8)]}`
}

function thisProcess(): ProcessReference {
  return {
    pid: process.pid,
    host: `${hostname()}/${read('/proc/sys/kernel/random/boot_id')}/${link('/proc/self/ns/pid')}`,
    startedAt: startOf(process.pid) ?? '',
  }
}

function isAlive(self: ProcessReference, other: ProcessReference): 'alive' | 'dead' | 'unknown' {
  if (other.host !== self.host) return 'unknown'
  if (other.pid === self.pid) return other.startedAt === self.startedAt ? 'alive' : 'dead'
  try {
    process.kill(other.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' ? 'dead' : 'unknown'
  }
  const started = startOf(other.pid)
  // A killed process that nobody has waited for is still in the list: it will never run again.
  if (started === 'zombie') return 'dead'
  return started !== undefined && other.startedAt !== '' && started !== other.startedAt ? 'dead' : 'alive'
}

/** Field 22 of /proc/PID/stat: start time in clock ticks since boot. 'zombie' for a process that has ended. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`)
  if (stat === '') return undefined
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? 'zombie' : fields[19]
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}
