import type { ChildProcess } from 'node:child_process'
import type { FromPublisher, PublisherConfig, ToPublisher } from './messages.ts'
import { lastWords, startProcess } from './start-process.ts'

/** The publishing process, seen from the parent. Killed, it starts again from the first message. */
export class Sender {
  /** Of the current incarnation: all before this one are durable. */
  upTo = 0
  /** Over all incarnations, as far as they had reported. */
  duplicates = 0
  kills = 0
  done = false
  readonly accidents: string[] = []
  readonly #config: PublisherConfig
  readonly #killAt: number[]
  #allowed = 0
  #child: ChildProcess | undefined
  #stopping = false
  #doomed = false

  /** `killAt`: it is killed, once each, when it has come so far. */
  constructor(config: PublisherConfig, killAt: readonly number[]) {
    this.#config = config
    this.#killAt = [...killAt]
  }

  start(): void {
    const child = startProcess('publisher.ts', this.#config)
    const stderr = lastWords(child)
    this.#child = child
    this.upTo = 0
    this.#doomed = false
    child.on('message', (message: FromPublisher) => this.#told(message))
    child.once('exit', (code, signal) => {
      if (this.#stopping || this.done) return
      if (this.#doomed && signal === 'SIGKILL') this.kills++
      else this.accidents.push(`the publisher ended by itself (${signal ?? `exit code ${code}`})\n${stderr()}`)
      if (this.accidents.length < 3) this.start()
    })
    this.#tell()
  }

  get allowed(): number {
    return this.#allowed
  }

  /** It may send this many messages, and then waits for more. Never less than before. */
  allow(messages: number): void {
    if (messages <= this.#allowed) return
    this.#allowed = messages
    this.#tell()
  }

  destroy(): void {
    this.#stopping = true
    this.#child?.kill('SIGKILL')
  }

  #told(message: FromPublisher): void {
    if (message.kind === 'done') {
      this.done = true
      return
    }
    this.upTo = message.upTo
    this.duplicates += message.duplicates
    const next = this.#killAt[0]
    if (next === undefined || message.upTo < next || this.#doomed) return
    this.#killAt.shift()
    this.#doomed = true
    this.#child?.kill('SIGKILL')
  }

  #tell(): void {
    const message: ToPublisher = { kind: 'allow', upTo: this.#allowed }
    if (this.#child?.connected === true) this.#child.send(message, () => {})
  }
}
