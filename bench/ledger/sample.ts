/** One measurement, in a process of its own: `node bench/ledger/sample.ts '{…}'` prints one line of JSON. */
import { Pool } from 'pg'
import type { Subject, SubjectOptions } from './job.ts'
import { audit, batchesOf, batchSize, messagesOf, tables } from './job.ts'

export type SubjectName = 'floor' | 'onefold' | 'pg-boss' | 'graphile-worker'

export interface SampleOptions extends SubjectOptions {
  readonly subject: SubjectName
  readonly count: number
}

export interface Sample {
  readonly perSecond: number
  readonly wrong: readonly string[]
}

/** Peers are packages of the bench alone: only the one that is asked for is loaded. */
async function subjectOf(options: SampleOptions): Promise<Subject> {
  switch (options.subject) {
    case 'floor':
      return (await import('./floor.ts')).floor(options)
    case 'onefold':
      return (await import('./with-onefold.ts')).withOnefold(options)
    default: {
      const peer = (await import(`./with-${options.subject}.ts`)) as { subject(options: SubjectOptions): Subject }
      return peer.subject(options)
    }
  }
}

async function sample(options: SampleOptions): Promise<Sample> {
  const pool = new Pool({ connectionString: options.url, max: 2 })
  await pool.query(tables)
  const subject = await subjectOf(options)
  await subject.prepare()
  await subject.consume()
  const messages = messagesOf(options.count)
  const from = performance.now()
  for (const batch of batchesOf(messages, batchSize)) await subject.publish(batch)
  while ((await subject.applied()) < messages.length) await new Promise((resolve) => setTimeout(resolve, 20))
  const seconds = (performance.now() - from) / 1_000
  await subject.stop()
  const wrong = await audit(pool, messages)
  await pool.end()
  return { perSecond: Math.round(options.count / seconds), wrong }
}

console.log(JSON.stringify(await sample(JSON.parse(process.argv[2] ?? '{}') as SampleOptions)))
