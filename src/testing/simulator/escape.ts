import { OnefoldError } from '../../errors.ts'

/** The user's code reached for something that is not simulated. */
export class SimulationEscape extends OnefoldError {
  override name = 'SimulationEscape'

  constructor(what: string, place?: string) {
    super(
      'NOT_POSSIBLE',
      `${what} is outside the simulation${place === undefined ? '' : ` (${place})`}: nobody could say what a crash leaves of it. What goes over a network belongs in a declared call, which the simulator plays the other side of; what stays in the database goes through \`tx\`.`,
    )
  }
}

/** A promise of a simulated process was rejected, and nobody waited for it: Node ends a process for that. */
export class UnhandledRejection extends Error {
  override name = 'UnhandledRejection'
}
