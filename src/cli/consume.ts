import type { App } from '../app.ts'
import type { ReceiveContext } from '../consume/consume-options.ts'
import type { AppEvent } from '../event.ts'
import { toCloudEvent } from '../message-cloudevents.ts'
import { adoptTopic } from '../topic.ts'
import type { Surroundings } from './command.ts'
import { defineCommand } from './command.ts'
import { databaseTarget } from './database-target.ts'
import { withApp } from './open-app.ts'
import { count, plural, printable } from './readable.ts'
import { ShellCommands } from './shell-commands.ts'
import type { Terminal } from './terminal.ts'
import { OutputClosed } from './terminal.ts'
import { UsageError } from './usage-error.ts'

const dayMs = 24 * 3_600_000
const defaultTimeoutMs = 30_000
/** The bound of an attempt as the library sees it: later than ours, so that the error has what the command said. */
const patienceMs = 5_000

export const consume = defineCommand({
  name: 'consume',
  summary: 'hand the messages of a topic to a program, or print them',
  usage: ['consume TOPIC --group G [--exec CMD] [--until-idle] [--concurrency N]'],
  description: [
    'Takes part in consumer group G of TOPIC, beside every other process that does. Each message becomes one line of JSON, a ' +
      'structured CloudEvents 1.0 event: key as "partitionkey", a producer\'s number as "sequence", headers as attributes where ' +
      'their names are legal there and the others together in "onefoldheaders", as JSON text.',
    'Without --exec the line is printed, and the message is acknowledged once the operating system has taken the line; what a ' +
      'reader does with it is not known here. With --exec, CMD is run by /bin/sh -c for each message, with the line on its stdin: exit ' +
      'code 0 means applied, anything else (or a signal) is a failed attempt, kept with the end of its stderr (2 KiB). Failed ' +
      'attempts are made again, at once and then later and later; after the last one the message waits in "onefold attention" ' +
      'and holds up later messages of its key. A CMD that runs longer than --timeout-ms is killed with all it has started.',
    'CMD finds in its environment: ONEFOLD_TOKEN (equal on every attempt: hand it on as an idempotency key), ONEFOLD_TOPIC, ' +
      'ONEFOLD_GROUP, ONEFOLD_ATTEMPT (1 for the first) and ONEFOLD_ID.',
    'SIGINT or SIGTERM: what has begun is finished, the rest is left to others; a second one ends it at once.',
    'With --json, and only with --exec, the document on stdout is {topic, group, semantics, applied, failedAttempts, attention, ' +
      'idle}, and what CMD prints goes to stderr. Without --exec the lines are JSON already; to collect them into one document would ' +
      'mean to acknowledge them before they are written. The exit code is 1 when a message was left to a person in this run.',
  ],
  promise:
    'At least once, never inside a transaction: a message is acknowledged after its line was written or CMD has ended with 0. ' +
    'A crash between the two hands it over again, with the same token. Effects in your own database that must happen once ' +
    'belong in the library (app.consume with apply). Messages with the same key are handed over in order, one at a time.',
  options: {
    group: { kind: 'text', value: 'G', help: 'the consumer group; durable from its first start on' },
    exec: { kind: 'text', value: 'CMD', help: 'what to run for each message', otherwise: 'print it' },
    'until-idle': { kind: 'flag', help: 'end when nothing is left: all applied, or waiting for a person' },
    concurrency: { kind: 'integer', min: 1, max: 1000, help: 'messages at the same time, never two of one key', otherwise: '1' },
    'max-attempts': { kind: 'integer', min: 1, max: 1000, help: 'attempts in all, the first included', otherwise: '8' },
    from: { kind: 'choice', choices: ['earliest', 'latest'], help: 'where a group starts that is new', otherwise: 'earliest' },
    'lease-ms': {
      kind: 'integer',
      min: 200,
      max: 600_000,
      help: 'how long others wait before they take over from a silent process',
      otherwise: '10000',
    },
    'timeout-ms': {
      kind: 'integer',
      min: 10,
      max: dayMs - patienceMs,
      help: 'bound of one run of CMD',
      otherwise: String(defaultTimeoutMs),
    },
  },
  examples: [
    'onefold consume deliveries --group mail --exec ./send-mail.sh --concurrency 4',
    'onefold consume deliveries --group look --until-idle | jq -r .data.action',
  ],

  async run({ values, positionals, terminal, runtime, stop, environment }) {
    const [name, ...rest] = positionals
    if (name === undefined) throw new UsageError('consume needs a TOPIC')
    if (rest.length > 0) throw new UsageError(`consume takes one TOPIC, but got also ${JSON.stringify(rest[0])}`)
    if (values.group === undefined) throw new UsageError('consume needs --group G')
    if (values.json && values.exec === undefined) {
      throw new UsageError('--json needs --exec: without it every line on stdout is a message, and is JSON already')
    }
    if (values['timeout-ms'] !== undefined && values.exec === undefined) {
      throw new UsageError('--timeout-ms goes with --exec: a reader of stdout may take its time')
    }
    const { group } = values
    const timeoutMs = values['timeout-ms'] ?? defaultTimeoutMs
    const run = new Run(name, group, terminal, values.exec !== undefined)
    const appOptions = { onEvent: run.onEvent, ...(values['lease-ms'] === undefined ? {} : { leaseMs: values['lease-ms'] }) }

    const commands = values.exec === undefined ? undefined : new ShellCommands(values.exec, runtime)
    // Also while the app stops, which is when a second signal comes.
    using _ = stop.beforeSuddenEnd(() => commands?.killAll())
    await withApp(databaseTarget(values, environment), { runtime }, appOptions, async (app) => {
      const ending = AbortSignal.any([stop.signal, run.outputClosed])
      app.consume(adoptTopic(name), {
        group,
        semantics: 'at-least-once',
        concurrency: values.concurrency ?? 1,
        ...(values['max-attempts'] === undefined ? {} : { maxAttempts: values['max-attempts'] }),
        timeoutMs: commands === undefined ? dayMs : timeoutMs + patienceMs,
        ...(values.from === undefined ? {} : { startFrom: values.from }),
        receive: async (_data, context) => {
          if (commands === undefined) await run.print(context)
          else {
            const work = commands.run(commandRun(name, group, context, { environment, terminal, timeoutMs, json: values.json }))
            await work.catch((error: unknown) => run.failed(context, error))
          }
          run.applied += 1
          // Where stdout is a terminal, too, the lines themselves are the progress.
          if (!terminal.isTerminal) terminal.progress(`${count(run.applied)} applied`)
        },
      })
      await app.start()
      run.idle = await untilEnd(app, { untilIdle: values['until-idle'], ending, runtime })
      await app.stop({ drainMs: drainMs(run, commands === undefined ? undefined : timeoutMs + patienceMs) })
    })
    if (run.failure !== undefined) throw run.failure
    await run.report(values.json)
    if (run.attention > 0) return 1
    return values['until-idle'] && !run.idle ? stop.exitCode : 0
  },
})

function commandRun(
  topic: string,
  group: string,
  context: ReceiveContext<unknown>,
  {
    environment,
    terminal,
    timeoutMs,
    json,
  }: Pick<Surroundings, 'environment' | 'terminal'> & { timeoutMs: number; json: boolean },
) {
  const { message, token, attempt, signal } = context
  return {
    input: eventLine(context),
    environment: {
      ...environment,
      ONEFOLD_TOKEN: token,
      ONEFOLD_TOPIC: topic,
      ONEFOLD_GROUP: group,
      ONEFOLD_ATTEMPT: String(attempt),
      ONEFOLD_ID: message.id,
    },
    stdout: json ? ('stderr' as const) : ('stdout' as const),
    onStderr: (chunk: Uint8Array) => {
      terminal.endProgress()
      process.stderr.write(chunk)
    },
    timeoutMs,
    signal,
  }
}

function eventLine({ message }: ReceiveContext<unknown>): string {
  return `${JSON.stringify(toCloudEvent(message))}\n`
}

/** How long what has begun may take to end: a command its whole time, a line until a reader that dawdles is given up. */
function drainMs(run: Run, commandMs: number | undefined): number {
  return run.outputClosed.aborted ? 0 : (commandMs ?? 5_000)
}

/** Answers whether the consumers had nothing left to do. */
async function untilEnd(
  app: App<unknown>,
  { untilIdle, ending, runtime }: { untilIdle: boolean; ending: AbortSignal; runtime: Surroundings['runtime'] },
): Promise<boolean> {
  if (untilIdle) {
    try {
      await app.idle({ signal: ending })
      return !ending.aborted
    } catch (error) {
      if (ending.aborted) return false
      throw error
    }
  }
  while (!ending.aborted) await runtime.sleep(60_000, ending)
  return false
}

const quiet = new Set<AppEvent['kind']>(['assigned', 'released', 'attempt-failed'])

/** What happened in this run of the command. */
class Run {
  applied = 0
  failedAttempts = 0
  attention = 0
  idle = false
  /** stdout broke for another reason than a reader that left, or the database has been moved away. */
  failure: unknown
  readonly #closed = new AbortController()
  readonly #topic: string
  readonly #group: string
  readonly #terminal: Terminal
  readonly #withCommand: boolean

  constructor(topic: string, group: string, terminal: Terminal, withCommand: boolean) {
    this.#topic = topic
    this.#group = group
    this.#terminal = terminal
    this.#withCommand = withCommand
  }

  get outputClosed(): AbortSignal {
    return this.#closed.signal
  }

  async print(context: ReceiveContext<unknown>): Promise<void> {
    if (!this.#closed.signal.aborted) {
      try {
        return await this.#terminal.handOver(eventLine(context))
      } catch (error) {
        if (!(error instanceof OutputClosed)) this.failure ??= error
        this.#closed.abort()
      }
    }
    // Not the message's fault, so not a failed attempt: it stays unacknowledged until the stop hands it back.
    await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }))
    throw context.signal.reason
  }

  /** Counts and tells of a failed attempt; one that ended because this process stops is none. */
  failed({ message, attempt, signal }: ReceiveContext<unknown>, error: unknown): never {
    if (!signal.aborted) {
      this.failedAttempts += 1
      const why = error instanceof Error ? error.message : String(error)
      this.#terminal.note(`onefold: attempt ${attempt} of ${printable(message.id)} failed: ${printable(why)}`)
    }
    throw error
  }

  readonly onEvent = (event: AppEvent): void => {
    if (event.kind === 'moved') {
      // There is nothing more to come.
      this.failure ??= event.error
      this.#closed.abort()
    }
    if (event.kind === 'attention') this.attention += 1
    // Failed attempts were told of when they failed.
    if (quiet.has(event.kind) || this.#closed.signal.aborted) return
    const what = [
      event.partition === undefined ? '' : ` partition ${event.partition}`,
      event.id === undefined ? '' : ` ${event.id}`,
    ]
    this.#terminal.note(`onefold: ${this.#topic}/${this.#group}${printable(what.join(''))}: ${printable(event.message)}`)
  }

  async report(json: boolean): Promise<void> {
    const { applied, failedAttempts, attention, idle } = this
    if (json) {
      const names = { topic: this.#topic, group: this.#group, semantics: 'at-least-once' }
      await this.#terminal.json({ ...names, applied, failedAttempts, attention, idle })
    } else if (this.#withCommand || this.#terminal.showsProgress) {
      const failed = failedAttempts === 0 ? '' : `, ${plural(failedAttempts, 'failed attempt')}`
      const waiting = attention === 0 ? '' : `, ${count(attention)} left to a person (onefold attention)`
      this.#terminal.note(`${this.#topic}/${this.#group}: ${count(applied)} applied${failed}${waiting}`)
    }
  }
}
