/** Status of a pod whose container `main` runs and is ready, as a kubelet writes it. */
export const RUNNING_STATUS = {
  phase: 'Running',
  conditions: [{type: 'Ready', status: 'True', lastTransitionTime: null}],
  containerStatuses: [
    {
      name: 'main',
      ready: true,
      restartCount: 0,
      image: 'i',
      imageID: 'i',
      state: {running: {startedAt: '2026-11-21T09:00:00Z'}},
    },
  ],
}
