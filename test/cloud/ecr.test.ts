import { expect, describe as group, test } from "bun:test";
import { ecrService, stsEndpoint } from "../../lib/cloud/amazon-endpoints.ts";
import {
  amazonScene,
  ecr,
  keyId,
  keys,
  keysJson,
  keysXml,
  machine,
  machineAnswers,
  password,
  pod,
  role,
  secret,
  session,
  sts,
  tokenAnswer,
  tokenData,
  web,
} from "../support/amazon-scene.ts";
import { emptySteps } from "../support/cloud-scene.ts";
import { type Answers, amazonSignature } from "../support/clouds.ts";
import type { TempDir, Tree } from "../support/harness.ts";

const scene = amazonScene();

group("a password of Amazon ECR", () => {
  test("is asked for with keys of the environment, signed", async () => {
    const found = await scene.signIn({ [ecr]: tokenAnswer }, { ...keys, AWS_SESSION_TOKEN: session });
    expect(found).toMatchObject({ login: `AWS:${password}`, source: "Amazon ECR, environment", warnings: [] });
    expect(scene.clouds.asked()).toEqual([ecr]);
    const [request] = scene.clouds.requests;
    if (request === undefined) throw new Error("nothing was asked");
    expect(request.headers.authorization).toBe(amazonSignature(request, secret));
    expect(request.headers.authorization).toContain(`Credential=${keyId}/`);
    expect(request.headers.authorization).toContain("/eu-west-1/ecr/aws4_request");
    expect(request.headers.authorization).toContain("host;x-amz-date;x-amz-security-token;x-amz-target");
    expect(request.headers).toMatchObject({
      "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
      "x-amz-security-token": session,
      "content-type": "application/x-amz-json-1.1",
    });
    expect(request.body).toBe("{}");
  });

  test("of the public registry is asked for elsewhere", async () => {
    const own = "POST api.ecr-public.us-east-1.amazonaws.com/";
    const data = { ...tokenData, expiresAt: "soon" };
    const found = await scene.signIn({ [own]: { json: { authorizationData: data } } }, keys, {}, "public.ecr.aws");
    expect(found).toMatchObject({ login: `AWS:${password}`, warnings: [] });
    expect(scene.clouds.asked()).toEqual([own]);
    expect(scene.clouds.requests[0]?.headers["x-amz-target"]).toBe("SpencerFrontendService.GetAuthorizationToken");
    expect(scene.clouds.requests[0]?.headers.authorization).toContain("/us-east-1/ecr-public/aws4_request");
  });

  test("is asked for with keys of a web identity, whose token goes to the region's own STS", async () => {
    const env = (home: TempDir) => ({
      AWS_ROLE_ARN: role,
      AWS_WEB_IDENTITY_TOKEN_FILE: home.join("token"),
      AWS_ROLE_SESSION_NAME: "build-7",
    });
    const found = await scene.signIn({ [sts]: keysXml, [ecr]: tokenAnswer }, env, { token: "t0ken-of-kubernetes\n" });
    expect(found).toMatchObject({ login: `AWS:${password}`, source: "Amazon ECR, web identity", warnings: [] });
    expect(scene.clouds.asked()).toEqual([sts, ecr]);
    expect(scene.clouds.requests[0]?.form).toEqual({
      Action: "AssumeRoleWithWebIdentity",
      Version: "2011-06-15",
      RoleArn: role,
      RoleSessionName: "build-7",
      WebIdentityToken: "t0ken-of-kubernetes",
    });
    expect(scene.clouds.requests[0]?.headers.authorization).toBeUndefined();
    const last = scene.clouds.requests[1];
    expect(last && last.headers.authorization === amazonSignature(last, secret)).toBe(true);
    expect(last?.headers["x-amz-security-token"]).toBe(session);
  });

  test("is asked for once more where Amazon did not reach the other provider", async () => {
    const code = "IDPCommunicationError";
    const failing = { status: 400, text: `<ErrorResponse><Error><Code>${code}</Code></Error></ErrorResponse>` };
    const first = [failing];
    const answers = { [sts]: () => first.pop() ?? keysXml, [ecr]: tokenAnswer };
    expect(await scene.signIn(answers, web)).toMatchObject({ login: `AWS:${password}`, warnings: [] });
    expect(scene.clouds.asked()).toEqual([sts, sts, ecr]);
    const found = await scene.signIn({ [sts]: failing }, web);
    expect(found.warnings[0]).toContain(`answered 400 (${code})`);
    expect(scene.clouds.asked()).toEqual([sts, sts]);
  });

  test("is asked for with keys of a pod or a task, whose token goes along", async () => {
    const found = await scene.signIn(
      { "GET local/v1/credentials": { json: keysJson }, [ecr]: tokenAnswer },
      pod(scene.clouds),
    );
    expect(found).toMatchObject({ login: `AWS:${password}`, source: "Amazon ECR, container", warnings: [] });
    expect(scene.clouds.asked()).toEqual(["GET local/v1/credentials", ecr]);
    expect(scene.clouds.requests[0]?.headers.authorization).toBe("t0ken-of-the-pod");
    const byFile = (home: TempDir) => ({
      ...pod(scene.clouds),
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: home.join("token"),
    });
    const answers = { "GET local/v1/credentials": { json: keysJson }, [ecr]: tokenAnswer };
    expect((await scene.signIn(answers, byFile, { token: "t0ken-2\n" })).login).toBe(`AWS:${password}`);
    expect(scene.clouds.requests[0]?.headers.authorization).toBe("t0ken-2");
  });

  test("is asked for with keys of the machine's role, by a session (IMDSv2)", async () => {
    const found = await scene.signIn({ ...machineAnswers, [ecr]: tokenAnswer }, machine(scene.clouds));
    expect(found).toMatchObject({ login: `AWS:${password}`, source: "Amazon ECR, EC2 metadata", warnings: [] });
    expect(scene.clouds.asked()).toEqual([...Object.keys(machineAnswers), ecr]);
    const [first, ...others] = scene.clouds.requests;
    expect(first?.headers["x-aws-ec2-metadata-token-ttl-seconds"]).toBe("300");
    for (const { host, headers } of others) {
      expect(headers["x-aws-ec2-metadata-token"]).toBe(host === "local" ? "t0ken-of-imds==" : undefined);
    }
  });

  test("is asked for in the order of the chain, and nothing more once there are keys", async () => {
    const all: Answers = {
      ...machineAnswers,
      "GET local/v1/credentials": { json: keysJson },
      [sts]: keysXml,
      [ecr]: tokenAnswer,
    };
    const profile: Tree = {
      ".aws/credentials": `[default]\naws_access_key_id=${keyId}\naws_secret_access_key=${secret}\n`,
    };
    const steps = [keys, web, {}, pod(scene.clouds), machine(scene.clouds)];
    const names = ["environment", "web identity", "profile", "container", "EC2 metadata"];
    for (const [index, name] of names.entries()) {
      const env = Object.assign({}, ...steps.slice(index), machine(scene.clouds));
      const found = await scene.signIn(all, env, index <= 2 ? profile : {});
      expect(found).toMatchObject({ source: `Amazon ECR, ${name}`, warnings: [] });
      // What came before says why it gave nothing.
      expect(emptySteps(found.log)).toEqual(names.slice(0, index));
      expect(found.log).toContain(`debug Amazon ECR: credentials by ${name}`);
    }
  });

  test("is asked for at the addresses that AWS_ENDPOINT_URL and its like name, unless that is to be ignored", async () => {
    const named = {
      AWS_ENDPOINT_URL: `http://${scene.clouds.local}/all`,
      AWS_ENDPOINT_URL_STS: `http://${scene.clouds.local}/sts`,
    };
    const answers = { "POST local/sts": keysXml, "POST local/all": tokenAnswer, [sts]: keysXml, [ecr]: tokenAnswer };
    expect((await scene.signIn(answers, { ...named, ...web })).login).toBe(`AWS:${password}`);
    expect(scene.clouds.asked()).toEqual(["POST local/sts", "POST local/all"]);
    const last = scene.clouds.requests[1];
    expect(last && last.headers.authorization === amazonSignature(last, secret)).toBe(true);
    const ignored = { ...named, ...web, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true" };
    expect((await scene.signIn(answers, ignored)).login).toBe(`AWS:${password}`);
    expect(scene.clouds.asked()).toEqual([sts, ecr]);
  });

  test("is asked for with a token of the region that AWS_REGION names, at the registry's region", async () => {
    const far = { ...web, AWS_REGION: "us-east-2" };
    const other = "POST sts.us-east-2.amazonaws.com/";
    expect((await scene.signIn({ [other]: keysXml, [ecr]: tokenAnswer }, far)).login).toBe(`AWS:${password}`);
    expect(scene.clouds.asked()).toEqual([other, ecr]);
    const china = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn";
    const own = ["POST sts.cn-north-1.amazonaws.com.cn/", "POST api.ecr.cn-north-1.amazonaws.com.cn/"] as const;
    const found = await scene.signIn(
      { [own[0]]: keysXml, [own[1]]: tokenAnswer },
      { ...web, AWS_REGION: "" },
      {},
      china,
    );
    expect(found.login).toBe(`AWS:${password}`);
    expect(scene.clouds.asked()).toEqual([...own]);
  });
});

test("a server in trouble is asked again", async () => {
  let asked = 0;
  const answers = { [ecr]: () => (++asked === 1 ? { status: 503 } : tokenAnswer) };
  expect(await scene.signIn(answers, keys)).toMatchObject({ login: `AWS:${password}`, warnings: [] });
  expect(scene.clouds.asked()).toEqual([ecr, ecr]);
});

test("shared files that cannot be read are passed by", async () => {
  const tree: Tree = { ".aws/credentials": {}, ".aws/config": {} };
  const found = await scene.signIn({ ...machineAnswers, [ecr]: tokenAnswer }, machine(scene.clouds), tree);
  expect(found).toMatchObject({ source: "Amazon ECR, EC2 metadata", warnings: [] });
});

group("the service for", () => {
  test.each([
    ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "https://api.ecr.eu-west-1.amazonaws.com/"],
    ["123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "https://ecr-fips.us-east-1.amazonaws.com/"],
    ["123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn/"],
    ["123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "https://api.ecr.us-iso-east-1.c2s.ic.gov/"],
    ["123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "https://api.ecr.us-isob-east-1.sc2s.sgov.gov/"],
    ["123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "https://api.ecr.eu-isoe-west-1.cloud.adc-e.uk/"],
    ["123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "https://api.ecr.us-isof-south-1.csp.hci.ic.gov/"],
    ["123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "https://api.ecr.eusc-de-east-1.amazonaws.eu/"],
    ["123456789012.dkr-ecr.eu-west-1.on.aws", "https://ecr.eu-west-1.api.aws/"],
    ["123456789012.dkr-ecr-fips.us-east-1.on.aws", "https://ecr-fips.us-east-1.api.aws/"],
    [
      "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
      "https://ecr.cn-north-1.api.amazonwebservices.com.cn/",
    ],
    ["public.ecr.aws", "https://api.ecr-public.us-east-1.amazonaws.com/"],
    ["ecr-public.aws.com", "https://api.ecr-public.us-east-1.amazonaws.com/"],
  ])("%s", (name, url) => expect(`https://${ecrService({}, name).host}/`).toBe(url));

  test.each([
    ["eu-west-1.amazonaws.com", "TRUE", "", "ecr.eu-west-1.api.aws", "sts.eu-west-1.api.aws"],
    ["us-east-1.amazonaws.com", "", "true", "ecr-fips.us-east-1.amazonaws.com", "sts-fips.us-east-1.amazonaws.com"],
    ["us-east-1.amazonaws.com", "true", "true", "ecr-fips.us-east-1.api.aws", "sts-fips.us-east-1.api.aws"],
    [
      "us-gov-west-1.amazonaws.com",
      "",
      "true",
      "ecr-fips.us-gov-west-1.amazonaws.com",
      "sts.us-gov-west-1.amazonaws.com",
    ],
    ["us-gov-west-1.amazonaws.com", "true", "true", "ecr-fips.us-gov-west-1.api.aws", "sts-fips.us-gov-west-1.api.aws"],
    [
      "cn-north-1.amazonaws.com.cn",
      "true",
      "",
      "ecr.cn-north-1.api.amazonwebservices.com.cn",
      "sts.cn-north-1.api.amazonwebservices.com.cn",
    ],
    ["us-iso-east-1.c2s.ic.gov", "true", "", "api.ecr.us-iso-east-1.c2s.ic.gov", "sts.us-iso-east-1.c2s.ic.gov"],
    ["eu-west-1.amazonaws.com", "1", "0", "api.ecr.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"],
  ])("%s, with addresses of IPv6 %p and FIPS %p", (place, dual, fips, ecrHost, stsHost) => {
    const env = { AWS_USE_DUALSTACK_ENDPOINT: dual, AWS_USE_FIPS_ENDPOINT: fips };
    const service = ecrService(env, `123456789012.dkr.ecr.${place}`);
    expect(service.host).toBe(ecrHost);
    expect(stsEndpoint({ env, region: service.region }).url.host).toBe(stsHost);
  });

  test("the public registry, with addresses of IPv6", () => {
    const env = { AWS_USE_DUALSTACK_ENDPOINT: "true", AWS_USE_FIPS_ENDPOINT: "true" };
    expect(ecrService(env, "public.ecr.aws").host).toBe("ecr-public.us-east-1.api.aws");
  });
});
