"""Files out of Debian's packages, without installing them: downloaded by apt, unpacked below a
folder. Both are done once and kept."""

import glob
import os
import re
import subprocess

import launch

RELATION = re.compile(r"^  Depends: ([a-z0-9][^\s<>:]*)$", re.MULTILINE)
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def call(*words, **options):
    """A command's output; its own message if it fails."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout
    except FileNotFoundError as error:
        raise launch.Problem(f"there is no {words[0]} here: the files come from Debian's packages") \
            from error
    except subprocess.CalledProcessError as error:
        raise launch.Problem(f"{' '.join(words[:4])} … failed: {error.stderr.strip()}") from error


class Archive:
    """Debian's packages, as apt knows them on this machine."""

    # As root, apt would rather download as a user of its own, who may not write here.
    options = ("-o", "APT::Sandbox::User=root")

    def dependencies(self, packages):
        return RELATION.findall(call("apt-cache", *self.options, "depends", *packages))

    def with_libraries(self, packages):
        """The packages and all shared libraries that they need, directly or not."""
        found, new = set(packages), set(packages)
        while new:
            new = {name for name in self.dependencies(sorted(new))
                   if (name.startswith("lib") or name == "zlib1g") and not name.endswith("-dev")}
            new -= found
            found |= new
        return sorted(found)

    def unpack(self, folder, packages):
        """Downloads and unpacks those packages that are not there yet; returns the root of the
        files."""
        archives, root = os.path.join(folder, "packages"), os.path.join(folder, "root")
        os.makedirs(archives, exist_ok=True)
        os.makedirs(root, exist_ok=True)

        def archive(package):
            found = glob.glob(os.path.join(glob.escape(archives), package + "_*.deb"))
            return found[0] if found else None

        missing = [package for package in packages if not archive(package)]
        if missing:
            launch.say(f"downloading {len(missing)} packages into {archives}, nothing is installed")
            call("apt-get", *self.options, "download", *missing, cwd=archives)
        for package in packages:
            stamp = os.path.join(archives, package + ".unpacked")
            if not os.path.exists(stamp):
                call("dpkg-deb", "-x", archive(package), root)
                with open(stamp, "w", encoding="utf-8"):
                    pass
        return root


class Suite(Archive):
    """The packages of another Debian release: the machine's own sources with the suite changed. apt's
    lists of them lie below `folder`; those of the machine stay as they are."""

    def __init__(self, folder, codename):
        state = os.path.abspath(os.path.join(folder, "apt"))
        sources = os.path.join(state, "suite.sources")
        status = os.path.join(state, "status")
        for part in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(state, part), exist_ok=True)
        with open(sources, "w", encoding="utf-8") as file:
            file.write(sources_of(codename))
        with open(status, "w", encoding="utf-8"):
            pass  # no package is installed, as far as this suite is concerned
        self.options = (
            *Archive.options,
            "-o", f"Dir::Etc::sourcelist={sources}",
            "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State={state}",
            "-o", f"Dir::State::status={status}",
            "-o", f"Dir::Cache={os.path.join(state, 'cache')}",
        )
        call("apt-get", *self.options, "update", "--error-on=any")


def sources_of(codename):
    """The Debian sources of this machine, for release `codename`. Sources of others are left out."""
    with open("/etc/os-release", encoding="utf-8") as file:
        release = dict(line.strip().split("=", 1) for line in file if "=" in line)
    own = release.get("VERSION_CODENAME", "").strip('"')
    if release.get("ID") != "debian" or not own:
        raise launch.Problem("this machine is not a Debian release, so its sources have no packages "
                             f"of {codename}: name a QEMU of yours by QEMU=")
    fields = "$(REPO_URI) $(COMPONENT) $(CODENAME) $(RELEASE)"
    targets = call("apt-get", "indextargets", "--format", fields, "Created-By: Packages")
    found = {}
    for line in targets.splitlines():
        uri, component, *names = line.split()
        suite = next((name for name in names if re.match(rf"{own}(-|$)", name)), None)
        if suite and component == "main":
            found[uri, codename + suite.removeprefix(own)] = None
    if not found:
        raise launch.Problem(f"apt has no sources of {own} here, whose suite could be changed")
    return "\n".join(f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
                     f"Signed-By: {KEYS}\n" for uri, suite in found)


def kernel_package(archive):
    """The package that the newest kernel for virtual machines is in."""
    names = [name for name in archive.dependencies(["linux-image-cloud-amd64"])
             if name.startswith("linux-image-")]
    if not names:
        raise launch.Problem("apt knows no linux-image-cloud-amd64: the peers are made for Debian, "
                             "after apt-get update")
    return names[0]
