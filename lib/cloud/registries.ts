/*
 * The names of clouds' own registries: they alone decide which cloud is asked. None has a port, for then it is another
 * server that answers.
 */

/** Amazon ECR's private ones, of all partitions, with FIPS and dual-stack names: FIPS, region, domain. */
export const ecrPrivate =
  /^\d{12}\.dkr[.-]ecr(-fips)?\.([a-z0-9][a-z0-9_-]*)\.(amazonaws\.(?:com(?:\.cn)?|eu)|on\.(?:aws|amazonwebservices\.com\.cn)|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$/;

/** Its public one, by both names. */
export const ecrPublic = /^(public\.ecr\.aws|ecr-public\.aws\.com)$/;

/** Azure Container Registry, of all clouds: domain. */
export const acr = /^[a-z0-9][a-z0-9.-]*\.azurecr\.(io|cn|us)$/;

/** Google's Artifact Registry, and the older Container Registry. */
export const google = /^([a-z0-9-]+-docker\.pkg\.dev|([a-z0-9-]+\.)?gcr\.io)$/;
