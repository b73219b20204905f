import { Worker } from 'node:worker_threads'
import type { Watchdog } from '../runtime.ts'

/** Words per guard in shared memory: [inside counter (odd = inside), loop counter]. */
const wordsPerGuard = 2
const maxGuards = 256

/** Looks this often within a limit: what is counted is looks, not time, so that a frozen process is not blamed for waking. */
const looks = 8

const threadSource = `
const { parentPort, workerData } = require('node:worker_threads')
const { writeSync } = require('node:fs')
const words = new Int32Array(workerData)
const guards = []
parentPort.on('message', ({ slot, limitMs, what, pid }) => {
  let seen = '', same = 0
  clearInterval(guards[slot])
  if (limitMs === 0) return
  guards[slot] = setInterval(() => {
    const inside = Atomics.load(words, slot * ${wordsPerGuard})
    const now = inside + '/' + Atomics.load(words, slot * ${wordsPerGuard} + 1)
    same = inside % 2 !== 0 && now === seen ? same + 1 : 0
    seen = now
    if (same <= ${looks}) return
    writeSync(2, 'onefold: ' + what + ' has blocked the event loop for more than ' + limitMs + ' ms; this process (' + pid + ') ends now. The message is attempted again, and goes to the attention list if it keeps doing this.\\n')
    process.kill(pid, 'SIGKILL')
  }, Math.max(10, limitMs / ${looks}))
})`

export class WatchdogThread {
  readonly #words = new Int32Array(new SharedArrayBuffer(maxGuards * wordsPerGuard * 4))
  readonly #worker: Worker
  #next = 0

  constructor() {
    this.#worker = new Worker(threadSource, {
      eval: true,
      workerData: this.#words.buffer,
      stdout: false,
      stderr: false,
      execArgv: [],
    })
    this.#worker.unref()
    this.#worker.on('error', () => undefined)
  }

  watch(limitMs: number, what: string): Watchdog {
    const words = this.#words
    const slot = this.#next++ % maxGuards
    const insideAt = slot * wordsPerGuard
    this.#worker.postMessage({ slot, limitMs, what, pid: process.pid })
    const turning = setInterval(() => Atomics.add(words, insideAt + 1, 1), Math.max(5, limitMs / (2 * looks)))
    turning.unref()
    // Calls overlap with each other and with an apply: inside is whoever is inside.
    let depth = 0
    return {
      enter: () => void (depth++ === 0 && Atomics.add(words, insideAt, 1)),
      leave: () => void (--depth === 0 && Atomics.add(words, insideAt, 1)),
      [Symbol.dispose]: () => {
        clearInterval(turning)
        this.#worker.postMessage({ slot, limitMs: 0 })
      },
    }
  }
}
