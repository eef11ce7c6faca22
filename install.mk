# install.mk - where things go is asked when they are installed and nowhere else: tinyclip.pc is written then.
#
#   make install PREFIX=/opt/tinyclip LIBDIR=/opt/tinyclip/lib64    and DESTDIR=/tmp/package for who makes packages
#   make install SHARED=0                                           the archive alone, which programs then take in
#   make uninstall                                                  the same settings, the other way round

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
INSTALL ?= install
SHARED ?= 1

define PC
prefix=$(PREFIX)
libdir=$(LIBDIR)
includedir=$(INCLUDEDIR)

Name: tinyclip
Description: Small CLIP models: distillation, inference and evaluation
Version: $(VERSION)
Libs: -L$${libdir} -ltinyclip
Libs.private: $(TC_LIBS)
Cflags: -I$${includedir}
endef
install: export PC_TEXT = $(PC)

LIB_FILES = libtinyclip.a libtinyclip.so.$(VERSION) $(SONAME) libtinyclip.so pkgconfig/tinyclip.pc

install: $(if $(filter 0,$(SHARED)),,install-shared)
install: $(B)/tinyclip $(B)/libtinyclip.a
	$(INSTALL) -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(LIBDIR)/pkgconfig" "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(MANDIR)/man1"
	$(INSTALL) -m 755 $(B)/tinyclip "$(DESTDIR)$(BINDIR)/"
	$(INSTALL) -m 644 $(B)/libtinyclip.a "$(DESTDIR)$(LIBDIR)/"
	@printf '%s\n' "$$PC_TEXT" >"$(DESTDIR)$(LIBDIR)/pkgconfig/tinyclip.pc"
	$(INSTALL) -m 644 include/tinyclip.h "$(DESTDIR)$(INCLUDEDIR)/"
	$(INSTALL) -m 644 docs/tinyclip.1 "$(DESTDIR)$(MANDIR)/man1/"

install-shared: $(B)/libtinyclip.so
	$(INSTALL) -d "$(DESTDIR)$(LIBDIR)"
	$(INSTALL) -m 755 $(B)/libtinyclip.so "$(DESTDIR)$(LIBDIR)/libtinyclip.so.$(VERSION)"
	ln -sf libtinyclip.so.$(VERSION) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(LIBDIR)/libtinyclip.so"
	@[ -n "$(DESTDIR)" ] || sh scripts/loader.sh "$(LIBDIR)"

install-strip: install
	$(STRIP) "$(DESTDIR)$(BINDIR)/tinyclip"
	[ "$(SHARED)" = 0 ] || $(STRIP) --strip-unneeded "$(DESTDIR)$(LIBDIR)/libtinyclip.so.$(VERSION)"
	$(STRIP) --strip-debug "$(DESTDIR)$(LIBDIR)/libtinyclip.a"

uninstall:
	rm -f "$(DESTDIR)$(BINDIR)/tinyclip" "$(DESTDIR)$(INCLUDEDIR)/tinyclip.h" "$(DESTDIR)$(MANDIR)/man1/tinyclip.1"
	for f in $(LIB_FILES); do rm -f "$(DESTDIR)$(LIBDIR)/$$f"; done

.PHONY: install install-shared install-strip uninstall
