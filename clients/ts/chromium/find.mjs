// Unpacks the Chromium of the npm package, and the libraries that it needs, into TMPDIR; writes its path.

// The package brings the libraries for one platform, which it knows by this; they serve on any Linux.
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs24.x";
const { default: chromium } = await import("@sparticuz/chromium");

process.stdout.write(`${await chromium.executablePath()}\n`);
