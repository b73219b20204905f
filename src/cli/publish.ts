import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { App } from '../app.ts'
import type { ErrorCode } from '../errors.ts'
import { isOnefoldError, OnefoldError } from '../errors.ts'
import type { PublishManyItem } from '../index.ts'
import type { Receipt } from '../message.ts'
import type { Topic } from '../topic.ts'
import { adoptTopic, topicLimits } from '../topic.ts'
import { Batches } from './batches.ts'
import { defineCommand } from './command.ts'
import { databaseTarget } from './database-target.ts'
import { readLines } from './lines.ts'
import { withApp } from './open-app.ts'
import { readPath } from './path.ts'
import { readLine } from './publish-line.ts'
import { count, plural, printable } from './readable.ts'
import { describeError } from './report-error.ts'
import type { Terminal } from './terminal.ts'
import { UsageError } from './usage-error.ts'

/** The largest message and some room for the white space and escapes that canonical JSON does without. */
const maxLineBytes = topicLimits.maxDataBytes + 1024 * 1024
const batch = { maxItems: 1000, maxBytes: 8 * 1024 * 1024 }
const maxListed = 100

export const publish = defineCommand({
  name: 'publish',
  summary: 'publish lines of JSON as messages',
  usage: ['publish TOPIC [FILE|-] [--id PATH] [--key PATH] [--type T] [--source S]'],
  description: [
    'Reads NDJSON (one JSON value a line, UTF-8; blank lines are skipped) from FILE, or from stdin without one, and publishes ' +
      'each line as a message of TOPIC. The database file and the topic are created when they do not exist.',
    'A PATH says where a value lies in each line: delivery.id, items[0].id, items.0.id, headers["x.y"]. Numbers found there ' +
      'become text. Without --id every line is a new message, however often it is published.',
    'A line is rejected, with its number and the reason, when it is not JSON, has no text or number at a PATH, is too large, or ' +
      'carries an id that was published before with another body (ID_REUSED). All other lines go in; the exit code is then 1.',
    'Prints how many lines were read, accepted, recognised as duplicates and rejected. With --json: {topic, read, accepted, ' +
      `duplicate, rejected, rejectedLines: [{line, code, reason}]}, of which the first ${maxListed} are listed.`,
  ],
  promise:
    'A line counted as accepted is on disk. With --id, publishing the same file again, also after a crash half way, adds ' +
    'nothing: each message is identified by topic, source and id for as long as the dedup window remembers (7 days). Lines enter ' +
    'in the order of the file.',
  options: {
    id: { kind: 'text', value: 'PATH', help: 'where the identity lies', otherwise: 'a fresh id for every line' },
    key: {
      kind: 'text',
      value: 'PATH',
      help: 'where the key lies; messages with the same key are applied in order',
      otherwise: 'no key',
    },
    type: { kind: 'text', value: 'T', help: "the messages' type", otherwise: "the topic's name" },
    source: { kind: 'text', value: 'S', help: 'who publishes; part of the identity', otherwise: "the topic's name" },
    'max-data-bytes': {
      kind: 'integer',
      min: 1,
      max: topicLimits.maxDataBytes,
      help: "bound of one message's JSON",
      otherwise: String(topicLimits.defaultMaxDataBytes),
    },
  },
  examples: ['onefold publish deliveries webhooks.ndjson --id delivery.id --key repository.full_name'],

  async run({ values, positionals, terminal, runtime, stop, environment }) {
    const [name, input = '-', ...rest] = positionals
    if (name === undefined) throw new UsageError('publish needs a TOPIC')
    if (rest.length > 0) throw new UsageError(`publish takes one FILE, but got also ${JSON.stringify(rest[0])}`)
    const lineOptions = {
      id: values.id === undefined ? undefined : readPath('--id', values.id),
      key: values.key === undefined ? undefined : readPath('--key', values.key),
      type: values.type,
    }
    const target = cliTopic(name, lineOptions.key !== undefined, values['max-data-bytes'])
    const tally = new Tally(name, terminal, values.json)
    // Opened first: a mistyped file name must not leave a new database behind.
    await using source = await openInput(input)
    const readers = { stream: source.stream, stop: stop.signal }

    const options = values.source === undefined ? {} : { source: values.source }
    const failure = await withApp(databaseTarget(values, environment), { runtime }, options, async (app) => {
      const batches = new Batches<Numbered>({ ...batch, send: (items) => publishBatch(app, target, items, tally) })
      try {
        for await (const lines of readLines(readUntil(readers), maxLineBytes)) {
          for (const line of lines) {
            const content = readLine(line, lineOptions, maxLineBytes)
            if (content.kind === 'blank') continue
            tally.read += 1
            if (content.kind === 'rejected') tally.reject(line.number, content.code, content.reason)
            else {
              const room = batches.add({ line: line.number, item: content.item }, line.bytes?.byteLength ?? 0)
              if (room !== undefined) await room
            }
          }
          batches.flush()
          terminal.progress(`${count(tally.read)} lines read, ${count(tally.accepted)} accepted`)
        }
        await batches.finish()
      } catch (error) {
        return { error }
      }
      return undefined
    })
    return await tally.finish({ failure, interrupted: stop.signal.aborted ? stop.exitCode : undefined })
  },
})

interface Numbered {
  readonly line: number
  readonly item: PublishManyItem<unknown>
}

/** What the topic is like was decided when it was created; only a topic that does not exist yet takes it from here. */
function cliTopic(name: string, keyed: boolean, maxDataBytes: number | undefined): Topic<unknown> {
  const adopted = adoptTopic(name, keyed ? { key: () => '' } : {})
  return maxDataBytes === undefined ? adopted : Object.freeze({ ...adopted, settings: { ...adopted.settings, maxDataBytes } })
}

async function publishBatch(app: App<unknown>, target: Topic<unknown>, items: readonly Numbered[], tally: Tally): Promise<void> {
  const results = await publishEach(
    app,
    target,
    items.map(({ item }) => item),
  )
  let failure: OnefoldError | undefined
  for (const [index, result] of results.entries()) {
    if (!(result instanceof OnefoldError)) {
      if (result.status === 'duplicate') tally.duplicate += 1
      else tally.accepted += 1
    } else if (aboutTheLine.has(result.code)) tally.reject(items[index]?.line ?? 0, result.code, result.message)
    else failure ??= result
  }
  if (failure !== undefined) throw failure
}

/** The fault of the line alone. Everything else (a full disk, a lock) would meet the other lines too, and ends the run. */
const aboutTheLine = new Set<ErrorCode>(['ID_REUSED', 'MESSAGE_INVALID', 'MESSAGE_TOO_LARGE', 'OPTION_INVALID'])

async function publishEach(
  app: App<unknown>,
  target: Topic<unknown>,
  items: readonly PublishManyItem<unknown>[],
): Promise<readonly (Receipt | OnefoldError)[]> {
  try {
    return await app.publishMany(target, items)
  } catch (error) {
    if (isOnefoldError(error, 'PUBLISH_INCOMPLETE') && 'results' in error) return error.results as (Receipt | OnefoldError)[]
    throw error
  }
}

async function openInput(input: string): Promise<{ readonly stream: Readable } & AsyncDisposable> {
  if (input === '-') {
    const stream = process.stdin
    return { stream, [Symbol.asyncDispose]: async () => void stream.destroy() }
  }
  let file: FileHandle
  try {
    file = await open(input)
    if ((await file.stat()).isDirectory()) {
      await file.close()
      throw new Error('it is a directory')
    }
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? 'there is no such file' : error instanceof Error ? error.message : String(error)
    throw new OnefoldError(missing ? 'NOT_FOUND' : 'NOT_POSSIBLE', `cannot read ${input}: ${why}.`, {
      details: { file: input },
      cause: error,
    })
  }
  const stream = file.createReadStream({ highWaterMark: 256 * 1024 })
  return { stream, [Symbol.asyncDispose]: async () => void stream.destroy() }
}

/** The chunks of a stream, ended early and without an error when `stop` is asked for. */
async function* readUntil({ stream, stop }: { stream: Readable; stop: AbortSignal }): AsyncGenerator<Uint8Array> {
  const end = () => stream.destroy()
  stop.addEventListener('abort', end, { once: true })
  try {
    if (!stop.aborted) for await (const chunk of stream) yield chunk as Uint8Array
  } catch (error) {
    if (!stop.aborted) {
      throw new OnefoldError(
        'NOT_POSSIBLE',
        `reading the input failed: ${error instanceof Error ? error.message : String(error)}.`,
        { cause: error },
      )
    }
  } finally {
    stop.removeEventListener('abort', end)
  }
}

class Tally {
  read = 0
  accepted = 0
  duplicate = 0
  rejected = 0
  readonly #listed: { readonly line: number; readonly code: string; readonly reason: string }[] = []
  readonly #topic: string
  readonly #terminal: Terminal
  readonly #json: boolean

  constructor(topic: string, terminal: Terminal, json: boolean) {
    this.#topic = topic
    this.#terminal = terminal
    this.#json = json
  }

  reject(line: number, code: string, reason: string): void {
    this.rejected += 1
    if (this.rejected > maxListed) return
    this.#listed.push({ line, code, reason })
    if (!this.#json) this.#terminal.note(`line ${line} rejected: ${code} ${printable(reason)}`)
  }

  /** The result, also of a run that failed or was stopped half way. Answers the exit code. */
  async finish(end: { failure: { readonly error: unknown } | undefined; interrupted: number | undefined }): Promise<number> {
    const { read, accepted, duplicate, rejected } = this
    const totals = { topic: this.#topic, read, accepted, duplicate, rejected }
    if (this.#json) {
      await this.#terminal.json({
        ...totals,
        rejectedLines: this.#listed.toSorted((a, b) => a.line - b.line),
        ...(end.interrupted === undefined ? {} : { interrupted: true }),
        ...(end.failure === undefined ? {} : { error: describeError(end.failure.error) }),
      })
      return end.failure !== undefined ? 1 : (end.interrupted ?? (rejected > 0 ? 1 : 0))
    }
    if (rejected > maxListed) this.#terminal.note(`and ${plural(rejected - maxListed, 'more line')} rejected`)
    const rest = read - accepted - duplicate - rejected
    await this.#terminal.write(
      `${this.#topic}: ${count(read)} read, ${count(accepted)} accepted, ${count(duplicate)} duplicate, ${count(rejected)} rejected` +
        `${rest > 0 ? `, ${count(rest)} not known to be published` : ''}\n`,
    )
    if (end.failure !== undefined) throw end.failure.error
    if (end.interrupted !== undefined)
      this.#terminal.note('stopped before the end of the input; with --id it can simply be published again')
    return end.interrupted ?? (rejected > 0 ? 1 : 0)
  }
}
