"""Paths whose letters are masked by wildcards, `/b?n/c[a]t /e*c/pass??`, against the paths that every system has."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from functools import lru_cache

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text

__all__ = ["DECODINGS"]

_COMMANDS = """
apt apt-get arch ash at awk base32 base64 basename bash bc busybox bzip2 cal cat chattr chgrp chmod chown chroot
chsh clear cmp comm cp cpio cron crontab csh curl cut dash date dd df diff dig dircolors dirname dmesg dnf docker du
echo ed egrep emacs env expand expr factor false fdisk fgrep file find flock fold free ftp gawk gcc gdb git gpg grep
groupadd groups gunzip gzip halt hash head hexdump host hostname iconv id ifconfig init insmod install ip iptables
join journalctl kill killall ksh last ld ldd less ln locate logger login look ls lsattr lsblk lsmod lsof lua make
man md5sum mkdir mkfifo mknod modprobe more mount mv mysql nano nc ncat netcat netstat nice nl nmap node nohup
nslookup objdump od openssl passwd paste perl php pico ping pip pip3 pkexec pkill poweroff pr printenv printf ps
psql pwd python python2 python3 readelf readlink reboot rev rm rmdir rmmod route rpm rsync ruby run-parts runuser
scp screen sed service setfacl sftp sh sha1sum sha256sum shred shuf shutdown sleep socat sort split ss ssh ssh-add
ssh-keygen sshd start-stop-daemon stat strace strings stty su sudo sync sysctl systemctl tac tail tar tclsh tcpdump
tee telnet test tftp time timeout tmux top touch tr traceroute true truncate umount uname unexpand uniq unzip uptime
useradd userdel usermod vi view vim visudo w watch wc wget whereis which who whoami whois xargs xxd xz yes yum zcat
zip zsh
"""
_MAC_COMMANDS = """
chflags csrutil defaults diskutil ditto dscl dseditgroup hdiutil ioreg killall launchctl mdfind mdls networksetup
nvram open osacompile osascript pbcopy pbpaste plutil pmset profiles say scutil security softwareupdate spctl
sqlite3 sw_vers sysadminctl system_profiler tccutil xattr
"""
_PATHS = """
/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/hosts /etc/hostname /etc/sudoers /etc/sudoers.d /etc/crontab
/etc/cron.d /etc/cron.daily /etc/cron.hourly /etc/fstab /etc/profile /etc/profile.d /etc/bash.bashrc /etc/issue
/etc/os-release /etc/resolv.conf /etc/ssh/sshd_config /etc/ssh/ssh_config /etc/ld.so.preload /etc/rc.local
/etc/systemd/system /etc/init.d /etc/pam.d /etc/motd /etc/environment /etc/security /etc/master.passwd
/var/log/auth.log /var/log/syslog /var/log/messages /var/log/secure /var/log/wtmp /var/log/btmp /var/log/lastlog
/var/log/audit/audit.log /var/log/system.log /var/tmp /var/www/html /var/spool/cron /var/run /var/lib /var/mail
/var/backups /var/db /proc/self/environ /proc/self/cmdline /proc/self/exe /proc/version /proc/cpuinfo
/proc/sys/kernel /dev/null /dev/tcp /dev/udp /dev/shm /dev/zero /dev/random /dev/urandom /dev/sda /dev/mem /dev/kmem
/dev/tty /root/.ssh /root/.bash_history /root/.bashrc /home /tmp /opt /mnt /media /srv /boot /lib /lib64 /sys /run
/usr/lib /usr/share /usr/local/lib /usr/local/share /usr/include /usr/src /usr/libexec
"""
_MAC_PATHS = """
/Users/Shared /Library/LaunchAgents /Library/LaunchDaemons /Library/Preferences /System/Library
/Applications/Utilities /Volumes /private/etc /private/tmp /private/var/db /Library/Keychains /Library/Scripts
"""
_BINS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin")
#: Those that lie in /sbin.
_ADMINISTRATION = """
fdisk halt ifconfig init insmod iptables lsmod modprobe poweroff reboot rmmod route shutdown sysctl useradd userdel
usermod groupadd visudo sshd service cron chroot runuser
"""
_WORD = re.compile(r"(?<![\w.$\\*?\]/~-])/(?:[\w.+@-]|[?*/]|\[[\w^!-]{1,20}\]){2,200}(?![\w$*?\[])")
# A star at an end is how files are listed (`/etc/*.conf`); masks stand for letters within a name.
_MASK = re.compile(r"\?|\[[\w^!-]{1,20}\]|(?<=\w)\*(?=\w)")
_MAX_WORDS = 64
_MAX_STEPS = 12
_STEP = 600

_Tree = dict[str, "_Tree"]


@lru_cache(maxsize=1)
def _tree() -> _Tree:
    """The folders by name, each with what lies in it."""
    root: _Tree = {}
    paths = [*_PATHS.split(), *_MAC_PATHS.split()]
    administration = frozenset(_ADMINISTRATION.split())
    for name in (*_COMMANDS.split(), *_MAC_COMMANDS.split()):
        places = _BINS[1:4:2] if name in administration else (_BINS[0], _BINS[2])
        paths += [f"{folder}/{name}" for folder in places]
    for path in (*_BINS, *paths):
        node = root
        for part in path[1:].split("/"):
            node = node.setdefault(part, {})
    return root


def _masked_paths(text: Text) -> Iterator[Layer]:
    """`/b?n/c?t /e?c/p?sswd` -> `/bin/cat /etc/passwd`; a mask that fits several paths, or none, stays."""
    if text.windows:
        return
    left = _MAX_WORDS

    def resolved(match: re.Match[str]) -> str:
        nonlocal left
        if not _MASK.search(match[0]):
            return match[0]
        left -= 1
        return match[0] if left < 0 or not text.budget.spend(_STEP) else _resolved(match[0])

    yield Layer("brace", _WORD.sub(resolved, text.raw))


def _resolved(word: str) -> str:
    """The only path that the word fits, as far as the paths are known; what lies in unknown folders stays masked."""
    parts = word[1:].split("/")
    open_: list[tuple[_Tree, list[str]]] = [(_tree(), [])]
    for depth, part in enumerate(parts[:_MAX_STEPS]):
        if not part:
            break
        masked = bool(set(part) & set("?*["))
        following: list[tuple[_Tree, list[str]]] = []
        for node, names in open_:
            if masked:
                pattern = re.compile(fnmatch.translate(part.replace("[^", "[!")))
                found = [name for name in node if pattern.match(name)]
            else:
                found = [part] if part in node else []
            following += [(node[name], [*names, name]) for name in found]
        if not following:
            # The known part was unique: it stands, and the rest as it is.
            if len(open_) == 1 and (depth or not masked):
                return "/" + "/".join([*open_[0][1], *parts[depth:]])
            return word
        open_ = following
    else:
        depth = min(len(parts), _MAX_STEPS)
        if len(open_) == 1:
            return "/" + "/".join([*open_[0][1], *parts[depth:]])
        return word
    return "/" + "/".join([*open_[0][1], *parts[depth:]]) if len(open_) == 1 else word


DECODINGS = (Decoding("masked_paths", ("?", "*", "["), _masked_paths, rewrites=True, marks=marks.BRACE),)
