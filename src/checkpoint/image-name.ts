/**
 * The name under which a runtime keeps an image that a pod names: `redis` is `docker.io/library/redis:latest`
 * (https://github.com/distribution/reference, ParseNormalizedNamed).
 */
export function fullImageName(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const hasHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost')
  const named = hasHost ? image : rest.length > 0 ? `docker.io/${image}` : `docker.io/library/${image}`
  const last = named.slice(named.lastIndexOf('/') + 1)
  return /[:@]/.test(last) ? named : `${named}:latest`
}
