"""The images of the Containerfile, built by buildah: a worker that sends, a page that is served.

No image is downloaded: the base is a Debian with its Python, made from packages.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import petition
from tests import PATIENCE
from tests.acceptance.crew import SEND, campaign_on
from tests.acceptance.small import SmallCampaign
from tests.servers.counting import counting_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.component("buildah", "mmdebstrap", "unshare", "nsenter", "uv", "root"),
]

ROOT = Path(__file__).parents[2]
BASE = "localhost/base"
NOBODY = 65532
# Where this machine says how packages are reached, if it does: pip needs that in the build too.
OF_THIS_MACHINE = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]

# A network of its own, in which port 8058 is free: SIOCSIFFLAGS brings its loopback up.
NETWORK = (
    "import fcntl, signal, socket, struct\n"
    "up = struct.pack('16sH22x', b'lo', 0x49)\n"
    "fcntl.ioctl(socket.socket(), 0x8914, up)\n"
    "print('up', flush=True)\n"
    "signal.pause()\n"
)


class Images:
    """Images and containers in a folder of their own."""

    def __init__(self, folder):
        places = ("--root", folder / "root", "--runroot", folder / "run")
        kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, check=True)
        driver = "vfs" if b"overlay" in kind.stdout else "overlay"  # it cannot lie on itself
        self._buildah = ("buildah", "--storage-driver", driver, *places)

    def __call__(self, *arguments):
        done = subprocess.run(
            [*self._buildah, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def config(self, image):
        return json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]

    def command(self, container, *command, volumes=(), env=None):
        """The command line that runs a command in a container."""
        options = [f"--volume={path}:{place}" for path, place in volumes]
        options += [f"--env={name}={value}" for name, value in (env or {}).items()]
        return [*self._buildah, "run", "--isolation=chroot", *options, container, "--", *command]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    made = Images(folder)
    base = folder / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates"
    unsafe = "--dpkgopt=force-unsafe-io"  # a base that is thrown away survives no power loss
    command = ["mmdebstrap", "--quiet", "--variant=apt", packages, unsafe, "bookworm", base]
    subprocess.run(command, check=True, timeout=PATIENCE)
    container = made("from", "scratch")
    made("add", "--quiet", container, base, "/")
    made("commit", "--quiet", "--rm", container, BASE)
    base.unlink()

    context = folder / "context"
    context.mkdir()
    for name in ("Containerfile", "requirements.txt", ".dockerignore"):
        shutil.copy(ROOT / name, context)
    uv = Path(sys.executable).with_name("uv")
    build = [uv, "build", "--quiet", "--wheel", "--out-dir", context / "dist", ROOT]
    constraints = {"UV_BUILD_CONSTRAINT": str(ROOT / "constraints.txt")}
    subprocess.run(build, env=os.environ | constraints, check=True)
    for target in ("worker", "serve"):
        options = ["--isolation=chroot", "--network=host", "--format=docker", "--layers"]
        options += [f"--volume={path}:{path}:ro" for path in OF_THIS_MACHINE]
        made(
            "build",
            *options,
            f"--build-arg=BASE={BASE}",
            "--target",
            target,
            "--tag",
            target,
            context,
        )
    yield made
    made("rm", "--all")
    shutil.rmtree(folder, ignore_errors=True)


# One test, for each process that runs one would build the images anew.
def test_the_images_run_as_nobody_send_and_are_healthy_when_they_are(
    images, postgres, network, tmp_path
):
    for target in ("worker", "serve"):
        assert_runs_as_nobody(images, target)
    assert_sends(images, postgres, tmp_path / "sent")
    assert_health_is_true(images, network, tmp_path / "served")


def assert_runs_as_nobody(images, target):
    config = images.config(target)
    assert config["Entrypoint"] == ["petition"]
    container = images("from", target)
    run = images.command(container, "petition", "--version")
    assert subprocess.run(run, capture_output=True, check=True).stdout.decode().split() == [
        "petition",
        petition.__version__,
    ]
    run = images.command(container, "sh", "-c", "id -u; touch /opt/petition/mine || echo refused")
    said = subprocess.run(run, capture_output=True, check=True).stdout.decode()
    assert said.split() == [str(NOBODY), "refused"]


def assert_sends(images, postgres, folder):
    with counting_server() as server:
        campaign = campaign_on(postgres.new_log(), folder, server.port, people=3)
        campaign.petition(*SEND, status=0)
        container = images("from", "worker")
        command = (
            *images.config("worker")["Entrypoint"],
            *images.config("worker")["Cmd"],
            "--once",
        )
        socket_folder = [(postgres.root, postgres.root)]
        run = images.command(container, *command, volumes=socket_folder, env=campaign.env)
        done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(server.accepted) == ["p1@x.example", "p2@x.example", "p3@x.example"]


@pytest.fixture
def network():
    """Begins a command line with what runs the rest in a network of its own."""
    command = ["unshare", "--net", sys.executable, "-c", NETWORK]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"up\n"
        yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
        holder.kill()


def assert_health_is_true(images, network, folder):
    campaign = SmallCampaign.at(folder)
    campaign.petition("send", "open-letter", status=0)
    for path in (campaign.root, *campaign.root.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    config = images.config("serve")
    kind, *check = config["Healthcheck"]["Test"]
    assert kind == "CMD"
    container = images("from", "serve")
    is_healthy = [*network, *images.command(container, *check)]
    serve = images.command(
        container, *config["Entrypoint"], *config["Cmd"], volumes=[(campaign.root, "/campaign")]
    )

    def healthy():
        done = subprocess.run(is_healthy, capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode == 0

    assert not healthy()
    with subprocess.Popen([*network, *serve], start_new_session=True) as served:
        try:
            deadline = time.monotonic() + PATIENCE
            while not healthy():
                assert served.poll() is None
                assert time.monotonic() < deadline
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(served.pid, signal.SIGTERM)
    assert not healthy()
