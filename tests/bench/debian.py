"""Files out of Debian's packages, without installing them: downloaded by apt, unpacked below a
folder. Both are done once and kept."""

import glob
import os
import re
import subprocess

import launch

RELATION = re.compile(r"^  Depends: ([a-z0-9][^\s<>:]*)$", re.MULTILINE)


def call(*words, **options):
    """A command's output; its own message if it fails."""
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, **options).stdout
    except FileNotFoundError as error:
        raise launch.Problem(f"there is no {words[0]} here: the peers are Debian's packages") \
            from error
    except subprocess.CalledProcessError as error:
        raise launch.Problem(f"{' '.join(words[:4])} … failed: {error.stderr.strip()}") from error


def dependencies(packages):
    return RELATION.findall(call("apt-cache", "depends", *packages))


def with_libraries(packages):
    """The packages and all shared libraries that they need, directly or not."""
    found, new = set(packages), set(packages)
    while new:
        new = {name for name in dependencies(sorted(new))
               if (name.startswith("lib") or name == "zlib1g") and not name.endswith("-dev")}
        new -= found
        found |= new
    return sorted(found)


def kernel_package():
    """The package that the newest kernel for virtual machines is in."""
    names = [name for name in dependencies(["linux-image-cloud-amd64"])
             if name.startswith("linux-image-")]
    if not names:
        raise launch.Problem("apt knows no linux-image-cloud-amd64: the peers are made for Debian, "
                             "after apt-get update")
    return names[0]


def unpack(folder, packages):
    """Downloads and unpacks those packages that are not there yet; returns the root of the files."""
    archives, root = os.path.join(folder, "packages"), os.path.join(folder, "root")
    os.makedirs(archives, exist_ok=True)
    os.makedirs(root, exist_ok=True)

    def archive(package):
        found = glob.glob(os.path.join(glob.escape(archives), package + "_*.deb"))
        return found[0] if found else None

    missing = [package for package in packages if not archive(package)]
    if missing:
        launch.say(f"downloading {len(missing)} packages into {archives}, nothing is installed")
        # As root, apt would rather download as a user of its own, who may not write here.
        call("apt-get", "-o", "APT::Sandbox::User=root", "download", *missing, cwd=archives)
    for package in packages:
        stamp = os.path.join(archives, package + ".unpacked")
        if not os.path.exists(stamp):
            call("dpkg-deb", "-x", archive(package), root)
            with open(stamp, "w", encoding="utf-8"):
                pass
    return root
